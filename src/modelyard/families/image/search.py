"""What `modelyard tune` may change."""

from __future__ import annotations

from collections.abc import Mapping

from modelyard.settings.search import Range, choice, real

SEARCH: Mapping[str, Range] = {
    "model.width": choice(16, 24, 32, 48, when={"model.kind": ("cnn",)}),
    "model.dropout": real(0.0, 0.5),
    "training.learning_rate": real(1e-4, 1e-2, log=True),
    "training.weight_decay": real(1e-4, 0.3, log=True),
    "training.batch_size": choice(16, 32, 64, 128),
    "training.schedule": choice("constant", "cosine", "one_cycle"),
    "training.label_smoothing": choice(0.0, 0.05, 0.1, changes_loss=True),
    "training.shift": real(0.0, 0.15),
    "training.rotate": real(0.0, 20.0),
}
"""Of the network as it is chosen; `--set model.kind=vit` searches around another one."""
