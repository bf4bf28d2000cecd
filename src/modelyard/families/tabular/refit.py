"""One more fit on training and validation rows together, once the validation rows have chosen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.families.tabular.fitting import FITTERS
from modelyard.families.tabular.kinds import Fitted

if TYPE_CHECKING:
    from modelyard.families.tabular.config import TabularConfig
    from modelyard.families.tabular.table import Table
    from modelyard.family import Progress

FEW_ROWS = 20_000
"""Up to so many training and validation rows, `auto` fits once more: there the validation share
is missed most, and a second fit takes seconds."""


@dataclass(frozen=True)
class Refitted:
    """The second fit."""

    fitted: Fitted
    """Its report, with the curves of the first fit: no rows are left for others."""
    headline: str
    """A clause for the stage's line."""


def is_refitted(config: TabularConfig, table: Table) -> bool:
    """Whether the model is fitted once more."""
    model = config.model
    if model.kind == "mlp" or model.refit == "off":
        return False
    if table.loss is not None and table.loss.fit == "quantile":
        # Its validation rows say how far the first model's values have to be moved.
        return False
    return model.refit == "on" or len(table.x) + len(table.x_validation) <= FEW_ROWS


def refit(
    config: TabularConfig, table: Table, first: Fitted, out: Path, progress: Progress
) -> Refitted:
    """Replaces the model in `out`.

    Threshold and calibration stay those of the first model on rows that it had not seen: the second
    model has no such rows left.
    """
    joined = table.joined(first.trees, first.chosen)
    again = FITTERS[config.model.kind](config, joined, out, progress)
    trees, grown = again.trees, ""
    # A forest has the trees that are set, however many rows there are.
    if trees is not None and trees != first.trees:
        grown = f" with {trees} trees, more by as much as there are more rows,"
    if table.classes:
        chosen = "threshold and calibration were"
    else:
        chosen = "what there is to choose was"
    note = (
        f"Fitted once more on all {len(joined.x):,} training and validation rows{grown} after {chosen} chosen on the "
        "validation rows by the model without them. So figures on the validation split flatter, and compare "
        "variants only; the test split was not touched. To leave it out: --set model.refit=off"
    )
    clause = "; fitted once more with the validation rows"
    if grown:
        clause += f", {trees} trees"
    if trees is None:
        # Leaves or support vectors: the first model's are not those of the model in `out`.
        headline = again.headline
    else:
        headline = first.headline
    fitted = replace(
        first,
        headline=headline,
        trees=trees,
        notes=[*first.notes, note, *again.notes],
        chosen=again.chosen,
    )
    return Refitted(fitted, clause)
