"""What `modelyard tune` may change."""

from __future__ import annotations

from collections.abc import Mapping

from modelyard.settings.search import Range, choice, real, whole

_SCRATCH = {"model.checkpoint": (None,)}

SEARCH: Mapping[str, Range] = {
    "model.layers": whole(2, 8, when=_SCRATCH),
    "model.dropout": real(0.0, 0.3),
    "training.learning_rate": real(2e-4, 1e-2, log=True),
    "training.weight_decay": real(1e-3, 0.3, log=True),
    "training.batch_size": choice(2, 4, 8, 16),
    "training.schedule": choice("constant", "cosine", "linear"),
    "training.warmup": real(0.0, 0.2),
}
"""Depth and the optimizer's settings. The tokenizer stays: perplexities of two vocabularies
cannot be compared."""
