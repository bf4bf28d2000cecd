"""What is read of the texts of a run: the tokenizer, trained or a checkpoint's, and the length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from modelyard.errors import UsageError
from modelyard.kit.checkpoints import FoundCheckpoint
from modelyard.kit.classifier.config import TokenFeatures
from modelyard.kit.text.tokenizer import open_tokenizer, special_tokens, trained_tokenizer

LONGEST, SHORTEST, STEP = 256, 16, 16
"""Lengths that are chosen from where none is set."""


def fit_tokens(
    texts: Sequence[str], settings: TokenFeatures, checkpoint: FoundCheckpoint | None
) -> dict[str, Any]:
    """The fields of `TokenSpec` that training texts ask for.

    Raises:
        UsageError: a longer text is asked for than the checkpoint reads, or it does not pad.
    """
    if checkpoint is None:
        tokenizer = trained_tokenizer(texts, settings.vocabulary, lower=settings.lower)
    else:
        tokenizer = checkpoint.tokenizer
    opened = open_tokenizer(tokenizer, "the checkpoint's tokenizer.json")
    length = settings.length
    if length is None:
        counts = [len(encoding.ids) for encoding in opened.encode_batch_fast(list(texts))]
        usual = np.ceil(np.quantile(counts, 0.95) / STEP) * STEP
        length = int(np.clip(usual, SHORTEST, LONGEST))
    if checkpoint is not None and length > checkpoint.longest:
        if settings.length is not None:
            raise UsageError(
                f"features.length = {length}, and the checkpoint reads {checkpoint.longest} tokens "
                f"at most. Type: --set features.length={checkpoint.longest}"
            )
        length = checkpoint.longest
    return {
        "tokenizer": tokenizer,
        "length": length,
        "long": settings.long,
        **special_tokens(tokenizer),
    }
