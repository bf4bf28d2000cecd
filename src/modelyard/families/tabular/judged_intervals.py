"""How well a regression's intervals keep what they promise, next to the simplest ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from modelyard.families.tabular.interval import interval_score
from modelyard.judging.evaluation import Direction, Evaluation, Table
from modelyard.kit.intervals import share_interval, share_sentence

if TYPE_CHECKING:
    from modelyard.families.tabular.host import Values
    from modelyard.families.tabular.interval import Interval


def with_intervals(
    judged: Evaluation,
    y: np.ndarray,
    found: Values,
    interval: Interval,
    y_train: np.ndarray,
    groups: np.ndarray | None = None,
) -> Evaluation:
    """The evaluation with coverage and width of the intervals to the targets `y` (rows,), next to
    the training targets' own quantiles, which are the same for every row. `groups` are those of the
    rows."""
    assert found.low is not None
    assert found.high is not None
    coverage = interval.coverage
    lower, upper = np.quantile(y_train, [(1 - coverage) / 2, (1 + coverage) / 2])
    same_low, same_high = np.full(len(y), lower), np.full(len(y), upper)
    ours = _metrics(y, found.low, found.high, coverage)
    simple = _metrics(y, same_low, same_high, coverage)
    directions: dict[str, Direction] = dict.fromkeys(ours, "min")
    hits = (found.low <= y) & (y <= found.high)
    said = share_sentence("True values within their interval", hits, groups)
    table = Table(
        title="Intervals",
        columns=["", "asked", "covered", "95 % interval", "mean width", "median width", "score"],
        rows=[
            _row("model", y, found.low, found.high, coverage, groups),
            _row("training quantiles", y, same_low, same_high, coverage, groups),
        ],
    )
    return judged.model_copy(
        update={
            "metrics": judged.metrics | ours,
            "baseline": judged.baseline | simple,
            "directions": judged.directions | directions,
            "notes": [*judged.notes, f"{said} {100 * coverage:g} % were asked for."],
            "tables": [*judged.tables, table],
        }
    )


def _metrics(y: np.ndarray, low: np.ndarray, high: np.ndarray, coverage: float) -> dict[str, float]:
    within = float(((low <= y) & (y <= high)).mean())
    return {
        "coverage_error": abs(within - coverage),
        "mean_width": float((high - low).mean()),
        "interval_score": float(interval_score(y, low, high, coverage).mean()),
    }


def _row(
    name: str,
    y: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    coverage: float,
    groups: np.ndarray | None,
) -> list[str | float]:
    hits = (low <= y) & (y <= high)
    least, most = share_interval(hits, groups)
    width = high - low
    return [
        name,
        f"{100 * coverage:g} %",
        f"{100 * hits.mean():.1f} %",
        f"{100 * least:.1f} to {100 * most:.1f} %",
        f"{width.mean():.4g}",
        f"{np.median(width):.4g}",
        f"{interval_score(y, low, high, coverage).mean():.4g}",
    ]
