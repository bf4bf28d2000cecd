"""What `modelyard tune` may change."""

from __future__ import annotations

from collections.abc import Mapping

from modelyard.settings.search import Range, choice, real, whole

SEARCH: Mapping[str, Range] = {
    "model.kind": choice("lightgcn", "ncf", "din", "sequence", "ease", changes_loss=True),
    "model.dimensions": choice(16, 32, 64, 128),
    "model.layers": whole(1, 4, when={"model.kind": ("lightgcn",)}),
    "model.hidden": choice(
        [64, 32, 16], [128, 64, 32], [32, 16], when={"model.kind": ("ncf", "multitask", "din")}
    ),
    "model.negatives": choice(1, 2, 4, 8, 16, 32, changes_loss=True),
    # That of ease is of another size, and chosen by its fit.
    "model.regularization": choice(
        *(0.0, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1),
        when={"model.kind": ("lightgcn", "ncf", "multitask", "din", "sequence")},
        changes_loss=True,
    ),
    "model.length": choice(20, 50, 100, when={"model.kind": ("din", "sequence")}),
    "model.blocks": whole(1, 3, when={"model.kind": ("sequence",)}),
    "model.dropout": real(0.1, 0.5, when={"model.kind": ("sequence",)}),
    "training.learning_rate": real(5e-4, 2e-2, log=True),
    "training.batch_size": choice(256, 512, 1024, 2048),
}
"""The number of negatives and the penalty are part of the loss: trials are pruned among those
that share them."""
