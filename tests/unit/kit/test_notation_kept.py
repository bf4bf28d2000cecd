"""Tables of known values in every notation: each value is read, refused, or doubted in a note."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from modelyard.errors import BadData
from modelyard.families.tabular.config import TabularFeatures
from modelyard.kit.columns.infer import infer_column
from modelyard.kit.columns.values import convert
from modelyard.kit.tables import Table, numbers, read_table, times

GROUPS = {".": (",", " ", "\u00a0", "'", "’", "lakh", ""), ",": (".", " ", "\u202f", "'", "")}
UNITS = ("", "", "", " €", "€", " %", "%", " kg", "$", "EUR ", " km/h")
MISSING = ("", "NA", "?", "unknown", "-", "n/a", "None")
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Auckland")
EPOCHS = (1, 10**3, 10**6, 10**9)
DOUBTS = (
    "nothing in the file proves",
    "were taken for UTC",
    "were read as month/day/year",
)
"""Words of the notes that leave a value open; how numbers are written is not among them."""

LEAST_READ = {"numbers": 0.85, "words": 0.85, "codes": 0.85, "times": 0.65, "epochs": 0.75}
"""Share of columns whose every value must be found: a reader that refuses all is none."""

Truth = Sequence[float | str | None]


@dataclass(frozen=True)
class Made:
    """A column as it is written, and what it says: numbers, seconds or text."""

    kind: str
    cells: list[str]
    truth: Truth


class Writer:
    """Writes the columns of one person's table."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.decimal = self.one_of(".,")
        self.group = self.one_of(GROUPS[self.decimal])
        self.delimiter = self.one_of(",;;\t|")
        self.rows = int(self.random.integers(25, 60))

    def one_of(self, choices: Sequence[str]) -> str:
        return str(choices[int(self.random.integers(len(choices)))])

    def chance(self, share: float) -> bool:
        return bool(self.random.random() < share)

    def number(self, value: float, places: int) -> str:
        """With this person's separators, without a sign."""
        whole, _, rest = f"{abs(value):.{places}f}".partition(".")
        if self.group == "lakh":
            head, tail = whole[:-3], whole[-3:]
            pairs = [head[max(0, end - 2) : end] for end in range(len(head), 0, -2)]
            whole = ",".join([*reversed(pairs), tail])
        elif self.group:
            whole = f"{int(whole):,}".replace(",", self.group)
        return whole + (self.decimal + rest if rest else "")

    def numbers(self) -> Made:
        places = int(self.random.integers(0, 4))
        size = 10.0 ** self.random.integers(0, 8)
        values = np.round(self.random.normal(size / 3, size, self.rows), places)
        unit, minus = self.one_of(UNITS), self.one_of(("-", "-", "\u2212", "\u2013", "()", "5-"))
        bounds, missing = self.chance(0.2), self.chance(0.3)
        cells: list[str] = []
        truth: list[float | None] = []
        for value in values.tolist():
            if missing and self.chance(0.1):
                cells.append(self.one_of(MISSING))
                truth.append(None)
                continue
            text = self.number(value, places)
            text = unit + text if unit in ("$", "EUR ") else text + unit
            if value < 0:
                wrapped = {"()": f"({text})", "5-": f"{text}-"}
                text = wrapped.get(minus, f"{minus}{text}")
            elif bounds and self.chance(0.1):
                text = self.one_of(("<", "> ", "≤")) + text
            cells.append(text)
            truth.append(value)
        return Made("numbers", cells, truth)

    def words(self) -> Made:
        made = self.numbers()
        word = self.one_of(("none recorded", "refused", "below range"))
        some = self.random.random(self.rows) < self.random.choice([0.1, 0.3])
        pairs = zip(some, made.cells, made.truth, strict=True)
        chosen = [(word, word) if other else (cell, value) for other, cell, value in pairs]
        return Made("words", [cell for cell, _ in chosen], [value for _, value in chosen])

    def codes(self) -> Made:
        length = int(self.random.integers(3, 7))
        some = [7, *self.random.integers(0, 10**length, 9).tolist()]
        cells = [f"{n:0{length}d}" for n in [7, *self.random.choice(some, self.rows - 1)]]
        if self.chance(0.5):
            cells = [f"{cell}{self.decimal}{cell[-1]}" for cell in cells]
        return Made("codes", cells, cells)

    def long_numbers(self) -> Made:
        base = int(self.random.integers(10**16, 10**18))
        cells = [str(base + int(n)) for n in self.random.integers(0, 40, self.rows)]
        return Made("codes", cells, cells)

    def close_numbers(self) -> Made:
        """A counter: large numbers with small differences."""
        base = int(self.random.integers(10**9, 10**12))
        values = [float(base + int(n)) for n in self.random.integers(0, 1000, self.rows)]
        return Made("numbers", [f"{value:.0f}" for value in values], values)

    def moments(self) -> list[datetime]:
        start = datetime(2024, 1, 1, tzinfo=UTC)
        minutes = self.random.integers(0, 600_000, self.rows).tolist()
        return [start + timedelta(minutes=minute) for minute in minutes]

    def dates(self) -> Made:
        moments = self.moments()
        zone = ZoneInfo(self.one_of(ZONES))
        east = timezone(timedelta(hours=int(self.random.integers(-11, 12))))
        ways: dict[str, Callable[[datetime], str]] = {
            "Z": lambda time: time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "plain": lambda time: time.strftime("%Y-%m-%d %H:%M:%S"),
            "dotted": lambda time: time.strftime("%d.%m.%Y %H:%M"),
            "slashed": lambda time: time.strftime("%d/%m/%Y %H:%M:%S"),
            "dashed": lambda time: time.strftime("%d-%m-%Y %H:%M"),
            "offset": lambda time: time.astimezone(east).isoformat(),
            "zone": lambda time: f"{time.astimezone(zone).isoformat()}[{zone.key}]",
            "named": lambda time: (
                f"{time.astimezone(zone).replace(tzinfo=None).isoformat()}[{zone.key}]"
            ),
        }
        names = [self.one_of(tuple(ways)) for _ in range(1 + self.chance(0.3))]
        if "named" in names:
            # In the hour that stands twice a name without an offset means the first of the two.
            moments = [time for time in moments if not time.astimezone(zone).fold]
            moments += moments[: self.rows - len(moments)]
        cells = [ways[self.one_of(names)](time) for time in moments]
        truth: list[float | None] = [time.timestamp() for time in moments]
        if self.chance(0.2):
            cells[1], truth[1] = "", None
        return Made("times", cells, truth)

    def epochs(self) -> Made:
        moments = self.moments()
        units = self.random.choice(EPOCHS, 1 + self.chance(0.5))
        factors = self.random.choice(units, self.rows).tolist()
        seconds = [int(time.timestamp()) for time in moments]
        cells = [str(one * factor) for one, factor in zip(seconds, factors, strict=True)]
        truth = [float(one) for one in seconds]
        if len(set(factors)) == 1:
            # Of one unit they stay as they are.
            truth = [one * factors[0] for one in truth]
        return Made("epochs", cells, truth)

    def table(self) -> dict[str, Made]:
        kinds = [self.numbers, self.numbers, self.numbers, self.words, self.codes, self.dates]
        kinds += [self.long_numbers, self.close_numbers, self.epochs]
        chosen = self.random.choice(len(kinds), int(self.random.integers(2, 6)))
        return {f"column {place}": kinds[kind]() for place, kind in enumerate(chosen)}

    def text(self, columns: dict[str, Made]) -> str:
        stream = io.StringIO()
        writer = csv.writer(stream, delimiter=self.delimiter, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*(made.cells for made in columns.values()), strict=True))
        first = f"sep={self.delimiter}\n" if self.chance(0.2) else ""
        return first + stream.getvalue()


def by_kit(table: Table, name: str, made: Made) -> list[float | str | None]:
    """As anomaly and recommender read it."""
    read = times if made.kind in ("times", "epochs") else numbers
    return [None if np.isnan(value) else value for value in read(table, name).tolist()]


def by_tabular(table: Table, name: str, made: Made) -> list[float | str | None]:
    column = infer_column(table, name, TabularFeatures(), {})
    if column.role == "drop":
        raise BadData(column.description)
    cells = convert(column, table, required=False)
    found: list[float | str | None] = []
    for cell in cells.astype(object).where(cells.notna(), None).tolist():
        if column.role == "time" and cell is not None:
            found.append(cell.replace(tzinfo=UTC).timestamp())
        elif column.words and cell not in (None, *column.words):
            found.append(float(cell))
        else:
            found.append(cell)
    return found


def same(found: float | str | None, truth: float | str | None, cell: str) -> bool:
    if isinstance(found, str) or found is None or truth is None or isinstance(truth, str):
        # A text that stands as it was written has lost nothing.
        return found in (truth, cell)
    return bool(np.isclose(found, truth, rtol=1e-12, atol=1e-9))


def outcome(seed: int, folder: Path) -> Counter[str]:
    """How many columns were read, refused and doubted; fails at a value that silently is
    another."""
    writer = Writer(seed)
    columns = writer.table()
    file = folder / "table.csv"
    file.write_text(writer.text(columns), encoding="utf-8")
    ends: Counter[str] = Counter()
    for reader in (by_kit, by_tabular):
        for name, made in columns.items():
            if reader is by_kit and made.kind in ("codes", "words"):
                continue
            try:
                table = read_table(file)
                assert table.names == list(columns)
                found = reader(table, name, made)
            except BadData:
                ends[f"{made.kind} refused"] += 1
                continue
            # To tabular a count of seconds is a number like others.
            counted = made.kind == "epochs" and reader is by_tabular
            truths = list(map(float, made.cells)) if counted else made.truth
            wrong = [
                (cell, truth, value)
                for cell, truth, value in zip(made.cells, truths, found, strict=True)
                if cell not in MISSING[:2] and not same(value, truth, cell)
            ]
            own = [note for note in table.notes if note.startswith(f"{name}:")]
            doubted = any(doubt in note for note in own for doubt in DOUBTS)
            assert doubted or not wrong, (seed, reader.__name__, made.kind, wrong[:3], own)
            ends[f"{made.kind} {'doubted' if wrong else 'read'}"] += 1
    return ends


def check(seeds: range, folder: Path) -> None:
    ends: Counter[str] = Counter()
    for seed in seeds:
        ends += outcome(seed, folder)
    for kind, least in LEAST_READ.items():
        counts = {end: ends[f"{kind} {end}"] for end in ("read", "refused", "doubted")}
        assert counts["read"] > least * sum(counts.values()), (kind, counts)


def test_no_value_of_a_table_is_silently_another(tmp_path: Path) -> None:
    check(range(100), tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(3600)  # eleven minutes of an idle core
def test_no_value_of_ten_thousand_tables_is_silently_another(tmp_path: Path) -> None:
    check(range(1_000, 11_000), tmp_path)
