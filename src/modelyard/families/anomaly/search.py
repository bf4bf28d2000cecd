"""What `modelyard tune` may change."""

from __future__ import annotations

from collections.abc import Mapping

from modelyard.settings.search import Range, choice, real, whole

_TORCH = {"model.kind": ("auto", "autoencoder", "deepsvdd", "lstm")}
_AUTOENCODER = {"model.kind": ("autoencoder",)}
_WHITENED = {"model.kind": ("deepsvdd", "ocsvm", "iforest")}

SEARCH: Mapping[str, Range] = {
    "model.kind": choice("auto", "autoencoder", "deepsvdd", "ocsvm", "iforest", changes_loss=True),
    "model.hidden": choice(
        [32],
        [64, 32],
        [128, 64],
        [128, 64, 32],
        when={"model.kind": ("autoencoder", "deepsvdd")},
    ),
    "model.code": whole(1, 6, when=_AUTOENCODER),
    "model.corruption": choice(0.0, 0.05, 0.1, 0.2, 0.4, when=_AUTOENCODER, changes_loss=True),
    "model.embedding": choice(8, 16, 32, when={"model.kind": ("deepsvdd",)}, changes_loss=True),
    "model.whiten": choice(True, False, when=_WHITENED, changes_loss=True),
    "model.nu": real(1e-3, 0.1, log=True, when={"model.kind": ("ocsvm",)}),
    "model.trees": whole(100, 500, log=True, when={"model.kind": ("iforest",)}),
    "model.units": choice(24, 48, 96, when={"model.kind": ("auto", "lstm")}),
    "training.learning_rate": real(5e-4, 2e-2, log=True, when=_TORCH),
    "training.weight_decay": real(1e-5, 0.1, log=True, when=_TORCH),
    "training.batch_size": choice(64, 128, 256, 512, when=_TORCH),
}
"""Detectors of rows; the one of windows takes longer and is searched with `--set
model.kind=lstm`."""
