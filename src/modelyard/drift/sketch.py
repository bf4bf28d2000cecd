"""A prediction log of any size, summed up in one streaming pass by DuckDB.

Of each column the pass leaves what the tests need, bounded: exact counts of rows and missing cells,
mean and range of numbers, counts by category, and a sample of whole rows. What is counted is counted
over all rows; the distribution of numbers, and the categories of a column with too many of them to
count (ids, names), are those of the sample.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.drift import queries
from modelyard.drift.columns import Column, Kind
from modelyard.drift.queries import Group, Role
from modelyard.store.tables import connect

SAMPLE_ROWS = 100_000
"""Rows of the sample: D is then known within about 0.005, far below any effect worth an alarm."""
SAMPLE_CELLS = 20_000_000
"""Cells of the sample: a table of more than 200 columns has fewer rows in it."""
MOST_CATEGORIES = 10_000
"""Different values of a column that are counted over all rows."""
MEMORY = "1GB"
"""What DuckDB may hold; beyond it, it writes into its temporary folder."""
SETS = 32
"""Columns whose categories one query counts."""
ROLES: dict[Role, Kind] = {"numbers": "numeric", "categories": "category", "presence": "missing"}
"""What a column of the reference is that is looked at in this way."""


class _Totals:
    """What is known of a column so far."""

    def __init__(self, role: Role) -> None:
        self.role = role
        self.present = 0
        self.not_numbers = 0
        """Values of a column of numbers that are none."""
        self.as_text = False
        """Whether a file held it as something else than numbers."""
        self.total = 0.0
        self.least, self.most = math.inf, -math.inf
        self.counts: Counter[str] = Counter()
        self.countable = True
        """Whether its categories are few enough to count."""

    def count(self, counts: Counter[str], present: int) -> None:
        """Takes the categories of so many rows, while they are few enough."""
        # Fewer than there are: they were not fetched, since an estimate found too many.
        if self.countable and counts.total() == present:
            self.counts += counts
        else:
            self.countable = False
        if len(self.counts) > MOST_CATEGORIES:
            self.countable = False
        if not self.countable:
            self.counts = Counter()

    @property
    def kind(self) -> Kind:
        if not self.present:
            return "missing"
        is_text = self.not_numbers > 0 if self.role == "numbers" else self.as_text
        return "category" if is_text else "numeric"


class Sketch:
    """Takes files of the log, group by group.

    `reference` says what each column is: its numbers are compared as numbers, its categories are
    counted. Of other columns only the presence is looked at; `hidden` ones are not read. Rows count
    from `since` on, a time as the log writes it.
    """

    def __init__(
        self,
        reference: Mapping[str, Column],
        spill: Path,
        *,
        since: str = "",
        hidden: frozenset[str] = frozenset(),
        memory: str | None = None,
    ) -> None:
        self.rows = self.outside = self.late = 0
        self._checked = self._repeated = 0
        self._since, self._hidden = since, hidden
        self._totals: dict[str, _Totals] = {}
        self._compared: dict[str, Role] = {}
        for name, column in reference.items():
            role = _role(column)
            self._totals[name] = _Totals(role)
            if role != "presence":
                self._compared[name] = role
        self._sample_rows = min(SAMPLE_ROWS, SAMPLE_CELLS // max(1, len(self._compared)))
        # As many rows as the reference has, whose own share of copies this is held against.
        self._block = max((column.rows for column in reference.values()), default=1)
        self._database = connect()
        self._database.execute(f"SET memory_limit = '{memory or MEMORY}'")
        self._database.execute(f"SET temp_directory = {queries.literal(str(spill))}")
        # Nothing depends on the order of rows, and DuckDB would hold them back to keep it.
        self._database.execute("SET preserve_insertion_order = false")
        self._database.execute(queries.sample_table(self._compared))

    def add(self, files: Sequence[Path]) -> None:
        """Takes all files or none.

        Raises:
            duckdb.Error: a file cannot be read, or two of them not together, or they are too many
                for the memory.
        """
        self._add([str(file) for file in files])

    @property
    def repeated(self) -> float:
        """Share of the rows with the content of another one near by: in the same file, and among as
        many rows as the reference has."""
        if self._checked:
            return self._repeated / self._checked
        return 0.0

    def columns(self) -> dict[str, Column]:
        """What all rows come to, by column; one that the log left out held nothing."""
        self._trim()
        return {name: self._column(name, totals) for name, totals in self._totals.items()}

    def sample(self, rows: int) -> dict[str, list[Any]]:
        """So many of the sampled rows, by column."""
        names = ", ".join(f"c{at}" for at in range(len(self._compared)))
        found = self._fetch(f"SELECT {names or 'key'} FROM sample ORDER BY key LIMIT {rows}")  # noqa: S608
        columns = {}
        for at, name in enumerate(self._compared):
            columns[name] = [row[at] for row in found]
        return columns

    def close(self) -> None:
        """Lets go of the database."""
        self._database.close()

    def _add(self, files: list[str]) -> None:
        types = {name: kind for name, kind, *_ in self._fetch(queries.DESCRIBE, files)}
        group = Group(
            types, self._compared, hidden=self._hidden, block=self._block, since=self._since
        )
        ((read, inside, late),) = self._fetch(group.times(), files)
        if inside:
            countable = self._countable()
            unknown = [at for at, name in countable.items() if not self._totals[name].counts]
            self._fetch(group.totals(self._share(inside), unknown), files)
            totals = self._fetch_one(queries.FOUND)
            # Categories are not fetched where an estimate says already that they are too many.
            many = {at for at in unknown if totals[f"distinct{at}"] > 2 * MOST_CATEGORIES}
            few = [at for at in countable if at not in many]
            counted = self._counted(group, few, files)
            # All files were read by now, without an error: they count as a whole.
            self._fetch(queries.DRAWN)
            self._take(group, totals, counted)
        self.rows += inside
        self.outside += read - inside
        self.late += late

    def _countable(self) -> dict[int, str]:
        """The columns whose categories were few so far, by their place."""
        found = {}
        for at, (name, role) in enumerate(self._compared.items()):
            if role == "categories" and self._totals[name].countable:
                found[at] = name
        return found

    def _counted(
        self, group: Group, places: list[int], files: list[str]
    ) -> list[tuple[int | None, str, int]]:
        """Rows by the column's place and value; no place stands for rows without a value."""
        counted = []
        for at in range(0, len(places), SETS):
            counted += self._fetch(group.categories(places[at : at + SETS]), files)
        return counted

    def _take(
        self,
        group: Group,
        found: dict[str, Any],
        counted: list[tuple[int | None, str, int]],
    ) -> None:
        self._checked += found["checked"]
        self._repeated += found["repeated"]
        counts: dict[int, Counter[str]] = defaultdict(Counter)
        for place, value, rows in counted:
            if place is not None:
                counts[place][value] += rows
        for at, name in enumerate(self._compared):
            totals = self._totals[name]
            totals.present += found[f"present{at}"]
            totals.as_text |= bool(found[f"present{at}"]) and not group.is_number(name)
            if totals.role == "categories":
                totals.count(counts[at], found[f"present{at}"])
            elif found[f"present{at}"]:
                totals.total += found[f"total{at}"]
                totals.least = min(totals.least, found[f"least{at}"])
                totals.most = max(totals.most, found[f"most{at}"])
            totals.not_numbers += found.get(f"odd{at}", 0)
        for at, name in enumerate(group.others):
            if found[f"other{at}"]:
                totals = self._totals.setdefault(name, _Totals("presence"))
                totals.present += found[f"other{at}"]
                totals.as_text |= not group.is_number(name)

    def _share(self, inside: int) -> float:
        """The share of these rows that is sampled, where so many come.

        Keys are even over all hashes, so that of N rows so far the n with the lowest keys lie below
        the share n / N, six standard deviations allowed. The lowest keys of all rows are the
        sample, however the files were grouped.
        """
        wanted = self._sample_rows + 6 * math.sqrt(self._sample_rows)
        return min(1.0, wanted / (self.rows + inside))

    def _trim(self) -> None:
        """Leaves the rows with the lowest keys."""
        # The first key that is too many; no row of it where they are few.
        query = f"SELECT key FROM sample ORDER BY key LIMIT 1 OFFSET {self._sample_rows}"  # noqa: S608
        for (key,) in self._fetch(query):
            self._fetch(f"DELETE FROM sample WHERE key >= {key}")  # noqa: S608

    def _column(self, name: str, totals: _Totals) -> Column:
        kind, counts, numbers = totals.kind, totals.counts, np.empty(0)
        if name in self._compared:
            field = f"c{list(self._compared).index(name)}"
            if totals.role == "numbers":
                numbers = self._numbers(field)
                is_sampled = len(numbers) > 0
            else:
                if not totals.countable:
                    counts = self._sampled(field)
                is_sampled = bool(counts)
            # As good as empty: a few values of which none is in the sample.
            if kind == ROLES[totals.role] and not is_sampled:
                kind = "missing"
        mean = totals.total / totals.present if totals.present else 0.0
        return Column(
            kind,
            self.rows,
            totals.present,
            numbers,
            counts,
            least=totals.least,
            most=totals.most,
            mean=mean,
        )

    def _sampled(self, field: str) -> Counter[str]:
        """Sampled rows by category."""
        query = f"SELECT {field}, count(*) FROM sample WHERE {field} IS NOT NULL GROUP BY {field}"  # noqa: S608
        return Counter(dict(self._fetch(query)))

    def _numbers(self, field: str) -> np.ndarray:
        query = f"SELECT {field} FROM sample WHERE {field} IS NOT NULL"  # noqa: S608
        found: np.ndarray = self._database.execute(query).fetchnumpy()[field]
        return np.asarray(found, np.float64)

    def _fetch(self, query: str, files: list[str] | None = None) -> list[tuple[Any, ...]]:
        given = {} if files is None else {"files": files}
        found: list[tuple[Any, ...]] = self._database.execute(query, given).fetchall()
        return found

    def _fetch_one(self, query: str) -> dict[str, Any]:
        found = self._database.execute(query)
        names = [column[0] for column in found.description or []]
        return dict(zip(names, found.fetchall()[0], strict=True))


def _role(reference: Column) -> Role:
    roles = {kind: role for role, kind in ROLES.items()}
    return roles[reference.kind]
