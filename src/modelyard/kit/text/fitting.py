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
USUAL = 0.95
"""Share of the texts that are read whole then."""


def fit_tokens(
    texts: Sequence[str],
    settings: TokenFeatures,
    checkpoint: FoundCheckpoint | None,
    *,
    lower: bool = True,
) -> dict[str, Any]:
    """The fields of `TokenSpec` that training texts ask for.

    Args:
        lower: whether capitals are read as small letters where the settings do not say.

    Raises:
        UsageError: a longer text is asked for than the checkpoint reads, or it does not pad.
    """
    if checkpoint is None:
        if settings.lower is not None:
            lower = settings.lower
        tokenizer = trained_tokenizer(texts, settings.vocabulary, lower=lower)
        return fit_length(texts, settings, tokenizer)
    return fit_length(texts, settings, checkpoint.tokenizer, checkpoint.longest)


def fit_length(
    texts: Sequence[str],
    settings: TokenFeatures,
    tokenizer: str,
    longest: int | None = None,
    share: float = USUAL,
) -> dict[str, Any]:
    """The fields of `TokenSpec` with a tokenizer.

    Args:
        longest: tokens that a checkpoint reads at most; None: any number.
        share: of the texts, that are read whole where no length is set.

    Raises:
        UsageError: a longer text is asked for, or the tokenizer does not pad.
    """
    opened = open_tokenizer(tokenizer, "the checkpoint's tokenizer.json")
    length = settings.length
    if length is None:
        counts = [len(encoding.ids) for encoding in opened.encode_batch_fast(list(texts))]
        usual = np.ceil(np.quantile(counts, share) / STEP) * STEP
        length = int(np.clip(usual, SHORTEST, LONGEST))
    if longest is not None and length > longest:
        if settings.length is not None:
            raise UsageError(
                f"features.length = {length}, and the checkpoint reads {longest} tokens at most. "
                f"Type: --set features.length={longest}"
            )
        length = longest
    return {
        "tokenizer": tokenizer,
        "length": length,
        "long": settings.long,
        **special_tokens(tokenizer),
    }
