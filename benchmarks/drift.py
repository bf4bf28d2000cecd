"""How often the verdict of drift is raised: without a drift, and with one of each kind.

The rows are those that a package of each family carries as its reference, from a debug run. Reference
and window are drawn from them with replacement, so that they have one distribution, whatever it is;
then a drift of a known kind and size is put into one column of the window.

    python benchmarks/drift.py                         # all families, a table; an hour on two cores
    python benchmarks/drift.py tabular --windows 100
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from modelyard.contract.lab import Lab
from modelyard.drift.columns import Column, column, numbers_column
from modelyard.drift.quality import ERROR, ERROR_SHARE, LABEL, of_package
from modelyard.drift.verdict import Verdict, Window, judge
from modelyard.family import load, names
from modelyard.settings.monitor import MonitorSettings
from modelyard.stages.run import Run
from modelyard.store.tables import read_parquet

REFERENCE_ROWS, DRIFTED_ROWS = 2_000, 2_000
SIZES = (100, 500, 2_000, 20_000)
COLUMNS = 50
SETTINGS = MonitorSettings()
WINDOW = Window(since="2026-01-01T00:00:00+00:00", until="2026-01-02T00:00:00+00:00")

OTHER_SAMPLES = {"tabular": {"features": {"sample": "fraud", "sample_rows": 15_000}}}
"""What a debug run is given, where its own sample has hardly any categories."""

Rng = np.random.Generator
Drawn = dict[str, "Cells"]


@dataclass(frozen=True)
class Cells:
    """A column's cells: numbers with NaN for missing ones, or codes of categories with -1."""

    values: np.ndarray
    categories: tuple[str, ...] = ()
    least_share: float = 1.0

    def at(self, rows: np.ndarray) -> Cells:
        """The cells of some rows."""
        return replace(self, values=self.values[rows])

    def summed_up(self) -> Column:
        """What the tests take."""
        return replace(self._column(), least_share=self.least_share)

    def _column(self) -> Column:
        if not self.categories:
            return numbers_column(self.values[~np.isnan(self.values)], len(self.values))
        present = self.values[self.values >= 0]
        counts = np.bincount(present, minlength=len(self.categories))
        found = {
            value: int(count) for value, count in zip(self.categories, counts, strict=True) if count
        }
        kind = "category" if found else "missing"
        return Column(kind, len(self.values), len(present), counts=Counter(found))


def pool_of(package: Path) -> Drawn:
    """The cells of a package's reference, less columns without a value."""
    found: Drawn = {}
    for name, values in read_parquet(package / "reference.parquet").items():
        kind = column(values).kind
        if kind == "numeric":
            found[name] = Cells(np.array(values, np.float64))
        if kind == "category":
            texts = [None if value is None else str(value) for value in values]
            categories = sorted({text for text in texts if text is not None})
            codes = {text: at for at, text in enumerate(categories)}
            cells = [-1 if text is None else codes[text] for text in texts]
            found[name] = Cells(np.array(cells), tuple(categories))
    return found


def labels_of(family: str, package: Path) -> Drawn:
    """The columns that labels add to a comparison, where the family has some."""
    host = load(family).open(package / "assets")
    outcomes = of_package(package, host)
    if not outcomes:
        return {}
    errors = np.array([one.error for one in outcomes])
    error = Cells(errors, least_share=ERROR_SHARE)
    if host.counts_errors:
        error = Cells(errors.astype(np.int64), ("right", "wrong"), ERROR_SHARE)
    truths = [one.truth for one in outcomes]
    if not host.counts_errors:
        return {ERROR: error, LABEL: Cells(np.array(truths, np.float64))}
    classes = sorted(map(str, set(truths)))
    codes = np.array([classes.index(str(truth)) for truth in truths])
    return {ERROR: error, LABEL: Cells(codes, tuple(classes))}


def package_of(family: str, folder: Path) -> Path:
    """A package of a debug run."""
    lab = Lab(family, folder)
    settings = lab.run.config.model_dump(mode="json")
    for section, values in OTHER_SAMPLES.get(family, {}).items():
        settings[section] |= values
    lab.run = Run.of(family, settings, id=lab.run.id)
    return lab["package"]


def draw(pool: Drawn, rows: int, rng: Rng) -> Drawn:
    """Whole rows, with replacement."""
    size = len(next(iter(pool.values())).values)
    chosen = rng.integers(0, size, rows)
    return {name: cells.at(chosen) for name, cells in pool.items()}


def verdict(before: Drawn, after: Drawn) -> Verdict:
    sides = ({name: cells.summed_up() for name, cells in side.items()} for side in (before, after))
    return judge(*sides, SETTINGS, family="f", package="p", digest="d", window=WINDOW)


def false_alarms(
    pool: Drawn, rows: int, windows: int, rng: Rng, reference: int = REFERENCE_ROWS
) -> tuple[int, int]:
    """Windows of unchanged traffic that raise the verdict, and that raise an alert."""
    raised = alerts = 0
    for _ in range(windows):
        found = verdict(draw(pool, reference, rng), draw(pool, rows, rng))
        raised += found.status == "drifted"
        alerts += bool(found.alerts)
    return raised, alerts


def richest(pool: Drawn) -> str | None:
    """The column with the most different numbers."""
    sizes = {name: len(np.unique(c.values)) for name, c in pool.items() if not c.categories}
    return max(sizes, key=lambda name: sizes[name]) if sizes else None


def label(pool: Drawn) -> str | None:
    """The last column with a few categories: answers stand after inputs."""
    few = [name for name, cells in pool.items() if 2 <= len(cells.categories) <= 50]
    return few[-1] if few else None


def first_label(pool: Drawn) -> str | None:
    """The first column with a few categories."""
    few = [name for name, cells in pool.items() if 2 <= len(cells.categories) <= 50]
    return few[0] if few else None


def shift(cells: Cells, rng: Rng) -> Cells:
    return Cells(cells.values + 0.3 * np.nanstd(cells.values))


def widen(cells: Cells, rng: Rng) -> Cells:
    middle = np.nanmean(cells.values)
    return Cells(middle + (cells.values - middle) * 2**0.5)


def swap(cells: Cells, rng: Rng) -> Cells:
    counts = np.bincount(cells.values[cells.values >= 0], minlength=len(cells.categories))
    most, least = int(counts.argmax()), int(counts.argmin())
    renamed = np.arange(len(cells.categories) + 1)
    renamed[[most, least]] = least, most
    renamed[-1] = -1  # what -1, a missing cell, points to
    return replace(cells, values=renamed[cells.values])


def add_category(cells: Cells, rng: Rng) -> Cells:
    values = cells.values.copy()
    values[rng.random(len(values)) < 0.05] = len(cells.categories)
    return Cells(values, (*cells.categories, "never seen before"))


def rename_all(cells: Cells, rng: Rng) -> Cells:
    return replace(cells, categories=tuple(f"new {value}" for value in cells.categories))


def empty(share: float) -> Callable[[Cells, Rng], Cells]:
    def change(cells: Cells, rng: Rng) -> Cells:
        gone = rng.random(len(cells.values)) < share
        values = np.where(gone, -1 if cells.categories else np.nan, cells.values)
        return replace(cells, values=values)

    return change


def unlike(cells: Cells, rng: Rng) -> Cells:
    """15 rows of 100 that had the most common label have another one."""
    present = cells.values[cells.values >= 0]
    most = int(np.bincount(present).argmax())
    others = present[present != most]
    had = np.flatnonzero(cells.values == most)
    moved = rng.permutation(had)[: round(0.15 * len(cells.values))]
    values = cells.values.copy()
    values[moved] = rng.choice(others, len(moved))
    return replace(cells, values=values)


def errors(pool: Drawn) -> str | None:
    """What labels say of the answers."""
    return ERROR if ERROR in pool else None


def spoil(cells: Cells, rng: Rng) -> Cells:
    """15 right answers of 100 are wrong now, or errors a third larger."""
    if not cells.categories:
        return replace(cells, values=cells.values * 4 / 3)
    return replace(cells, values=np.where(rng.random(len(cells.values)) < 0.15, 1, cells.values))


@dataclass(frozen=True)
class Kind:
    """A kind of drift: which column it is put into, and how."""

    of: Callable[[Drawn], str | None]
    change: Callable[[Cells, Rng], Cells]
    before: Callable[[Cells, Rng], Cells] = lambda cells, rng: cells
    """What the reference's column has already."""


KINDS: Mapping[str, Kind] = {
    "mean shifted by 0.3 standard deviations": Kind(richest, shift),
    "variance doubled": Kind(richest, widen),
    "category swapped (the most common for the rarest)": Kind(first_label, swap),
    "new category in 5 % of the rows": Kind(first_label, add_category),
    "missing 5 % → 15 %": Kind(richest, empty(0.15), empty(0.05)),
    "label shift (15 % of the rows)": Kind(label, unlike),
    "all-new categories": Kind(first_label, rename_all),
    "concept drift, with labels (15 % of the answers)": Kind(errors, spoil),
}
BROKEN = "one of fifty columns empty (as an alert)"


def found_in_two(
    pool: Drawn, kind: Kind, name: str, windows: int, rng: Rng, reference: int = REFERENCE_ROWS
) -> tuple[float, float]:
    """Share of the pairs of windows of which one raises the verdict and names the column, and
    mean number of other columns that a window names."""
    found, others = 0, 0
    for _ in range(windows):
        before = draw(pool, reference, rng)
        before[name] = kind.before(before[name], rng)
        named = []
        for _ in range(2):
            after = draw(pool, DRIFTED_ROWS, rng)
            after[name] = kind.change(after[name], rng)
            named.append({one.name for one in verdict(before, after).drifted})
        found += any(name in drifted for drifted in named)
        others += sum(len(drifted - {name}) for drifted in named)
    return found / windows, others / (2 * windows)


def broken_of_fifty(pool: Drawn, windows: int, rng: Rng, reference: int = REFERENCE_ROWS) -> float:
    """Share of the windows that name the one empty column of fifty in their alerts, and no other."""
    columns = list(pool)
    wide = {
        f"{columns[at % len(columns)]} {at}": columns[at % len(columns)] for at in range(COLUMNS)
    }
    right = 0
    for _ in range(windows):
        before, after = (
            {new: draw({old: pool[old]}, rows, rng)[old] for new, old in wide.items()}
            for rows in (reference, DRIFTED_ROWS)
        )
        name = str(rng.choice(list(wide)))
        after[name] = empty(1.0)(after[name], rng)
        right += [one.column for one in verdict(before, after).alerts] == [name]
    return right / windows


def table(family: str, pool: Drawn, reference: int, windows: int, drifts: int) -> None:
    """Prints the rows of the table of one family."""
    rng = np.random.default_rng(0)
    cells = []
    for rows in SIZES:
        raised, alerts = false_alarms(pool, rows, windows, rng, reference)
        cells.append(f"{raised}" + (f" ({alerts} alerts)" if alerts else ""))
    print(f"| {family} ({len(pool)} columns) | of {windows} | {' | '.join(cells)} |", flush=True)
    for what, kind in KINDS.items():
        name = kind.of(pool)
        if name is None:
            continue
        share, others = found_in_two(pool, kind, name, drifts, rng, reference)
        print(f"| {family} | {what} | {name} | {share:.0%} | {others:.2f} |", flush=True)
    share = broken_of_fifty(pool, drifts, rng, reference)
    print(f"| {family} | {BROKEN} | any | {share:.0%} | 0 |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*", default=list(names()))
    parser.add_argument("--windows", type=int, default=500)
    parser.add_argument("--reference", type=int, default=REFERENCE_ROWS, help="rows of it")
    parser.add_argument("--drifts", type=int, default=200)
    parser.add_argument("--package", type=Path, help="instead of a debug run of the one family")
    given = parser.parse_args()
    for family in given.families:
        with tempfile.TemporaryDirectory() as work:
            package = given.package or package_of(family, Path(work))
            pool = pool_of(package) | labels_of(family, package)
            table(family, pool, given.reference, given.windows, given.drifts)


if __name__ == "__main__":
    main()
