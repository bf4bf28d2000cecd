"""What `modelyard tune` may change."""

from __future__ import annotations

from collections.abc import Mapping

from modelyard.settings.search import Range, choice, real, whole

_BOOSTED = {"model.kind": ("lightgbm", "xgboost", "boosting")}
_TREES = {"model.kind": ("lightgbm", "xgboost", "boosting", "forest", "bagging")}
_MLP = {"model.kind": ("mlp",)}

SEARCH: Mapping[str, Range] = {
    "model.kind": choice("lightgbm", "xgboost", "boosting", "forest", "linear", changes_loss=True),
    "model.trees": whole(100, 1000, log=True, when=_TREES),
    "model.learning_rate": real(0.01, 0.3, log=True, when=_BOOSTED),
    "model.max_leaves": whole(4, 128, log=True, when=_BOOSTED),
    "model.max_depth": choice(None, 3, 5, 8, 12, when=_TREES),
    "model.regularization": real(
        1e-3,
        100.0,
        log=True,
        when={"model.kind": ("lightgbm", "xgboost", "boosting", "linear", "svm")},
    ),
    "model.class_weight": choice("none", "balanced", changes_loss=True),
    "features.numeric": choice(
        "standardize", "log", "identity", when={"model.kind": ("linear", "mlp")}
    ),
    "model.hidden": choice([64], [128, 64], [256, 128], [256, 128, 64], when=_MLP),
    "model.dropout": real(0.0, 0.5, when=_MLP),
    "training.learning_rate": real(1e-4, 1e-2, log=True, when=_MLP),
    "training.weight_decay": real(1e-4, 0.3, log=True, when=_MLP),
    "training.batch_size": choice(32, 64, 128, 256, when=_MLP),
}
"""The kind, and the settings of the kind that is drawn. The MLP's are searched with `--set
model.kind=mlp`."""
