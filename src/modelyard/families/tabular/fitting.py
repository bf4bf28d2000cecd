"""What fits each kind that is not trained by the shared loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.families.tabular import kinds
from modelyard.families.tabular.svm import fit_svm
from modelyard.families.tabular.tree import fit_tree

if TYPE_CHECKING:
    from modelyard.families.tabular.config import TabularConfig
    from modelyard.families.tabular.kinds import Fitted
    from modelyard.families.tabular.table import Table
    from modelyard.family import Progress

    Fitter = Callable[[TabularConfig, Table, Path, Progress], Fitted]


def _fit_stack(config: TabularConfig, table: Table, out: Path, progress: Progress) -> Fitted:
    from modelyard.families.tabular.stack import fit_stack

    return fit_stack(config, table, out, progress)


FITTERS: Mapping[str, Fitter] = {
    "linear": kinds.fit_linear,
    "tree": fit_tree,
    "forest": kinds.fit_forest,
    "bagging": kinds.fit_forest,
    "boosting": kinds.fit_boosting,
    "xgboost": kinds.fit_xgboost,
    "lightgbm": kinds.fit_lightgbm,
    "svm": fit_svm,
    "stack": _fit_stack,
}
