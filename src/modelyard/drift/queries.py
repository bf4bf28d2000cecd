"""What the sketch of a log asks DuckDB: each query reads one group of files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from modelyard.drift.columns import BEGINNING, LONGEST_VALUE
from modelyard.host import LOG_COLUMNS
from modelyard.store.tables import identifier

Role = Literal["numbers", "categories", "presence"]
"""What is looked at in a column."""

NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")
TYPES: dict[Role, str] = {"numbers": "DOUBLE", "categories": "VARCHAR"}
# By name: workers of different versions may write different columns. Without Hive's partitions,
# which would make columns of the folders date=… and hour=….
READ = "read_parquet($files, union_by_name = true, hive_partitioning = false"
DESCRIBE = f"DESCRIBE SELECT * FROM {READ})"  # noqa: S608
PARTITION = "date=([0-9-]{10})/hour=([0-9]{2})/[^/]*$"


class Group:
    """The queries of a group of files, whose columns have these types when they are read together.

    Columns are known by their place: `c0` is the first of the compared ones, `o0` the first of the
    others.
    """

    def __init__(
        self,
        types: Mapping[str, str],
        compared: Mapping[str, Role],
        *,
        hidden: frozenset[str],
        block: int,
        since: str,
    ) -> None:
        self._types, self._compared, self._block = types, compared, block
        left_out = {*LOG_COLUMNS, *hidden, *compared}
        self.others = [name for name in types if name not in left_out]
        """Columns that are not compared."""
        # DuckDB's names are the same in any case.
        taken = {name.lower() for name in types}
        self._file = "_file"
        while self._file in taken:
            self._file += "_"
        self._source = f"{READ}, filename = '{self._file}')"
        self._inside = f"_time >= {literal(since)}"
        self._values = [self._value(name, role) for name, role in compared.items()]
        self._rows = self._select([f"{value} AS c{at}" for at, value in enumerate(self._values)])

    def _select(self, columns: list[str]) -> str:
        """The rows in the window."""
        return f"(SELECT {', '.join(columns)} FROM {self._source} WHERE {self._inside})"  # noqa: S608

    def _whole_rows(self, share: float) -> str:
        """The rows in the window, with all that is counted."""
        columns = [f"{value} AS c{at}" for at, value in enumerate(self._values)]
        columns += [f"{identifier(name)} AS o{at}" for at, name in enumerate(self.others)]
        for at, name in self._texts():
            text = self._text(name)
            columns.append(f"{text} IS NOT NULL AND TRY_CAST({text} AS DOUBLE) IS NULL AS odd{at}")
        # By blocks, since copies come soon after each other: to look for them among all rows would
        # take memory for each of them.
        position = self._position()
        block = f"{self._file}, {position} // {self._block}"
        content = f"hash({', '.join([block, *self._values])})"
        columns += [
            f"hash(parse_filename({self._file}), {position}) AS key",
            f"CASE WHEN hash({block}) <= {highest(share)} THEN {content} END AS content",
        ]
        return self._select(columns)

    def _texts(self) -> list[tuple[int, str]]:
        """Columns of numbers that these files hold as something else, with their place."""
        found = []
        for at, (name, role) in enumerate(self._compared.items()):
            if role == "numbers" and name in self._types and not self.is_number(name):
                found.append((at, name))
        return found

    def is_number(self, name: str) -> bool:
        """Whether all these files hold numbers there."""
        return self._types[name].partition("(")[0].removeprefix("U") in NUMBERS

    def times(self) -> str:
        """Rows of the files, those in the window, and those filed well after their hour: `read`,
        `inside`, `late`."""
        day = f"regexp_extract({self._file}, '{PARTITION}', 1)"
        hour = f"{day} || 'T' || regexp_extract({self._file}, '{PARTITION}', 2)"
        begun = f"try_strptime({hour}, '%Y-%m-%dT%H') - INTERVAL 1 HOUR"
        late = f"left(_time, 19) < strftime({begun}, '%Y-%m-%dT%H:%M:%S')"
        return (
            f"SELECT count(*) AS read, count(*) FILTER ({self._inside}) AS inside,"  # noqa: S608
            f" count(*) FILTER ({late}) AS late FROM {self._source}"
        )

    def totals(self, share: float, unknown: Sequence[int]) -> str:
        """Makes the table `found` of one row: counts of all rows in the window, by the column's
        place (`present0`, `total0`, …), and as a list `drawn` this share of the rows.

        For the places in `unknown` it holds about how many different values there are. Rows are
        looked at for repeated ones in the same share of blocks: rows that follow each
        other in a file.
        """
        fields = ["'key': key"]
        fields += [f"'c{at}': c{at}" for at in range(len(self._compared))]
        wanted = [
            f"list({{{', '.join(fields)}}}) FILTER (key <= {highest(share)}) AS drawn",
            "count(content) AS checked",
            "count(content) - count(DISTINCT content) AS repeated",
        ]
        for at, role in enumerate(self._compared.values()):
            wanted.append(f"count(c{at}) AS present{at}")
            if role == "numbers":
                wanted.append(f"sum(c{at}) AS total{at}")
                wanted += [f"min(c{at}) AS least{at}", f"max(c{at}) AS most{at}"]
        wanted += [f"approx_count_distinct(c{at}) AS distinct{at}" for at in unknown]
        wanted += [f"count(*) FILTER (odd{at}) AS odd{at}" for at, _ in self._texts()]
        wanted += [f"count(o{at}) AS other{at}" for at in range(len(self.others))]
        rows = self._whole_rows(share)
        return f"CREATE OR REPLACE TEMP TABLE found AS SELECT {', '.join(wanted)} FROM {rows}"  # noqa: S608

    def categories(self, places: Sequence[int]) -> str:
        """Rows by column and value: the column's place, the value, how many."""
        names = [f"c{at}" for at in places]
        cases = " ".join(f"WHEN c{at} IS NOT NULL THEN {at}" for at in places)
        # One pass counts all of them: in the set of one column all others are NULL.
        sets = ", ".join(f"({name})" for name in names)
        return (
            f"SELECT CASE {cases} END, coalesce({', '.join(names)}), count(*)"  # noqa: S608
            f" FROM {self._rows} GROUP BY GROUPING SETS ({sets})"
        )

    def _position(self) -> str:
        """The row's place in its file; what makes a sample by it independent of the content.

        `_id` would not do: callers choose it, and one who sends the same for all requests would be
        in the sample with all of them or with none.
        """
        name = "file_row_number"
        if name not in {known.lower() for known in self._types}:
            return name
        return "hash(_time, _id)"  # a column of that name hides DuckDB's own

    def _value(self, name: str, role: Role) -> str:
        """A column as it is compared; one that these files lack holds nothing."""
        if name not in self._types:
            return f"NULL::{TYPES[role]}"
        if role == "numbers":
            read = f"CAST({identifier(name)} AS DOUBLE)"
            if not self.is_number(name):
                read = f"TRY_CAST({self._text(name)} AS DOUBLE)"
            if self._types[name] in ("FLOAT", "DOUBLE", "VARCHAR"):
                return f"nullif({read}, 'NaN'::DOUBLE)"
            return read
        text = self._text(name)
        short = f"left({text}, {BEGINNING}) || '…' || md5({text})"
        return f"CASE WHEN strlen({text}) > {LONGEST_VALUE} THEN {short} ELSE {text} END"

    def _text(self, name: str) -> str:
        quoted = identifier(name)
        if self._types[name] == "VARCHAR":
            return quoted
        return f"CAST({quoted} AS VARCHAR)"


DRAWN = "INSERT INTO sample SELECT unnest(drawn, recursive := true) FROM found"
FOUND = "SELECT * EXCLUDE (drawn) FROM found"


def highest(share: float) -> int:
    """The hash up to which this share of all hashes lies."""
    if share < 1:
        return int(2.0**64 * share) - 1
    return 2**64 - 1


def sample_table(compared: Mapping[str, Role]) -> str:
    """Makes the table of sampled rows: `key`, `c0`, `c1`, …"""
    columns = [f"c{at} {TYPES[role]}" for at, role in enumerate(compared.values())]
    return f"CREATE TABLE sample ({', '.join(['key UBIGINT', *columns])})"


def literal(text: str) -> str:
    """A text in SQL."""
    return "'" + text.replace("'", "''") + "'"
