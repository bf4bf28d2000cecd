"""One file of each kind through every family that reads tables: the same values, or the same
refusal, everywhere."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import openpyxl
import pyarrow.parquet
import pytest

from modelyard.errors import BadData
from modelyard.families.anomaly.config import AnomalyConfig
from modelyard.families.anomaly.data import AnomalyData
from modelyard.families.anomaly.parts import PARTS, Part
from modelyard.families.anomaly.schema import Schema
from modelyard.families.clustering.config import ClusteringConfig
from modelyard.families.clustering.data import ClusteringData
from modelyard.families.recommender.catalog import Catalog
from modelyard.families.recommender.config import RecommenderConfig
from modelyard.families.recommender.data import SPLITS, RecommenderData, load_impressions
from modelyard.families.tabular.config import TabularConfig
from modelyard.families.tabular.data import TabularData
from modelyard.settings.family import resolve

USERS, EACH, UNUSED = 25, 8, 5
HEADER = ("user", "item", "time", "rating", "dwell", "click")
NAMES = ("Zoë", "Jürgen", "Søren", "Renée", "Añu")


def rows() -> list[tuple[str, str, str, str, str, str]]:
    """Interactions in the order of time, which are measurements too and a table to learn from."""
    random = np.random.default_rng(0)
    found = []
    for number in range(USERS * EACH):
        user = f"{NAMES[number % 5]} {number % USERS}"
        item = f"café {(number * 7 + number // USERS) % 24}"
        rating, dwell = random.normal(3, 1), random.normal(40, 10)
        found.append(
            (user, item, str(1_000 + 60 * number), f"{rating:.2f}", f"{abs(dwell):.2f}", "1")
        )
    return found


def text(delimiter: str = ",", decimal: str = ".", quote: str = "") -> str:
    lines = [delimiter.join(HEADER)]
    for user, item, time, rating, dwell, click in rows():
        cells = (user, item, time, rating.replace(".", decimal), dwell.replace(".", decimal), click)
        lines.append(delimiter.join(f"{quote}{cell}{quote}" for cell in cells))
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Seen:
    """What a family took from the file."""

    dwell: list[float]
    """Of the rows it keeps, as float32."""
    users: set[str]
    notes: str
    latest: list[float]
    """`dwell` of the test split, which is the latest; clustering knows no time."""


def said(summary: dict[str, Any]) -> str:
    """The notes; the stage's line says how many of them are on cells."""
    notes = " ".join(summary["notes"])
    assert ("on how cells were read" in summary["headline"]) == any(
        mark in notes for mark in ("log.", "dwell:", "time:", "rating:", "user:")
    )
    return notes


def tabular(raw: Path, out: Path) -> Seen:
    settings = {"features": {"target": "rating", "time_column": "time", "max_categories": 100}}
    summary = TabularData(resolve(TabularConfig, ("--set", settings))).features(raw, out)
    parts = [pyarrow.parquet.read_table(out / f"{split}.parquet").to_pydict() for split in SPLITS]
    dwell = [value for part in parts for value in part["dwell"]]
    users = {user for part in parts for user in part["user"]}
    return Seen(dwell, users, said(summary), parts[-1]["dwell"])


def anomaly(raw: Path, out: Path) -> Seen:
    settings = {"features": {"window": 1, "kind_column": "user", "drop": ["item", "click"]}}
    summary = AnomalyData(resolve(AnomalyConfig, ("--set", settings))).features(raw, out)
    schema = Schema.load(out / "assets")
    parts = [Part.load(out, name) for name in PARTS]
    dwell = [value for part in parts for value in part.x[:, schema.names.index("dwell")].tolist()]
    place = schema.names.index("dwell")
    latest = (parts[-1].x[:, place].astype(np.float64) + schema.offsets[place]).tolist()
    return Seen(dwell, set(schema.kinds), said(summary), latest)


def recommender(raw: Path, out: Path) -> Seen:
    summary = RecommenderData(RecommenderConfig()).features(raw, out)
    dwell = [value for split in SPLITS for value in load_impressions(out, split)["dwell"].tolist()]
    latest = load_impressions(out, "test")["dwell"].tolist()
    return Seen(dwell, set(Catalog.load(out / "assets").users), said(summary), latest)


def clustering(raw: Path, out: Path) -> Seen:
    settings = {"features": {"max_categories": 100, "label": "click"}}
    summary = ClusteringData(resolve(ClusteringConfig, ("--set", settings))).features(raw, out)
    parts = [pyarrow.parquet.read_table(out / f"{split}.parquet").to_pydict() for split in SPLITS]
    dwell = [value for part in parts for value in part["dwell"]]
    users = {user for part in parts for user in part["user"]}
    return Seen(dwell, users, said(summary), parts[-1]["dwell"])


FAMILIES: dict[str, Callable[[Path, Path], Seen]] = {
    "clustering": clustering,
    "tabular": tabular,
    "anomaly": anomaly,
    "recommender": recommender,
}


def workbook() -> bytes:
    """The rows as Excel saves them: numbers as numbers."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(HEADER)
    for user, item, time, rating, dwell, click in rows():
        sheet.append([user, item, int(time), float(rating), float(dwell), int(click)])
    stream = BytesIO()
    book.save(stream)
    return stream.getvalue()


PLAIN = text()
SEMICOLONS = text(";", decimal=",")
TABLES: dict[str, tuple[str, bytes, str]] = {
    "plain": ("log.csv", PLAIN.encode(), ""),
    "BOM": ("log.csv", PLAIN.encode("utf-8-sig"), ""),
    "Windows-1252": ("log.csv", PLAIN.encode("cp1252"), "was read as Windows-1252"),
    "UTF-16": ("log.csv", PLAIN.encode("utf-16"), "was read as UTF-16"),
    "bars": ("log.csv", text("|").encode(), "separated by bars"),
    "tabs": ("log.tsv", text("\t").encode(), "separated by tabs"),
    "decimal commas": ("log.csv", SEMICOLONS.encode(), "separated by semicolons"),
    "decimal commas in quotes": ("log.csv", text(decimal=",", quote='"').encode(), ""),
    "sep=": ("log.csv", f"sep=;\r\n{SEMICOLONS}".encode(), "separated by semicolons"),
    "quoted": ("log.csv", text(quote='"').encode(), ""),
    "Windows' line ends": ("log.csv", PLAIN.replace("\n", "\r\n").encode(), ""),
    "blank lines": ("log.csv", f"\n{PLAIN}\n\n".replace("\nRen", "\n\nRen").encode(), ""),
    "a workbook": ("log.xlsx", workbook(), ""),
    "compressed": ("log.csv.gz", gzip.compress(PLAIN.encode()), ""),
}


def read(family: str, tmp_path: Path, name: str, content: bytes) -> Seen:
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    (out / "assets").mkdir(parents=True)
    (raw / name).write_bytes(content)
    return FAMILIES[family](raw, out)


def check_values(seen: Seen) -> None:
    """Values are those of the rows; a few rows between splits in time may be unused."""
    found = Counter(np.float32(seen.dwell).tolist())
    expected = Counter(np.float32([row[4] for row in rows()]).tolist())
    assert found <= expected
    assert found.total() >= len(rows()) - UNUSED


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", TABLES)
def test_a_table_has_the_same_values_in_every_family(
    family: str, kind: str, tmp_path: Path
) -> None:
    name, content, note = TABLES[kind]
    seen = read(family, tmp_path, name, content)
    check_values(seen)
    assert seen.users == {row[0] for row in rows()}
    assert note in seen.notes
    assert ("log." in seen.notes) == bool(note)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_cell_of_two_lines_keeps_both_in_every_family(family: str, tmp_path: Path) -> None:
    content = PLAIN.replace("Zoë 0,", '"Zoë, ""die""\nErste",')
    seen = read(family, tmp_path, "log.csv", content.encode())
    assert 'Zoë, "die"\nErste' in seen.users
    check_values(seen)


def with_line(number: int, line: str) -> str:
    """The plain table with another line in a row, from 1 below the header."""
    lines = PLAIN.splitlines()
    lines[number] = line
    return "\n".join(lines) + "\n"


def faulty() -> dict[str, tuple[bytes, str]]:
    """Files that no family can read, and what is said of them."""
    long = with_line(7, "Zoë 1,café 1,1360,3.0,4.0,1,9")
    word = with_line(7, "Zoë 1,café 1,1360,3.0,forty,1")
    semicolons = SEMICOLONS.splitlines()
    semicolons[7] = "Zoë 1;café 1;1360;3,0;4.0.0;1"
    return {
        "ragged": (long.encode(), "log.csv, row 7: 7 cells where the header has 6"),
        "ragged below a blank line": (
            long.replace("\nRen", "\n\nRen", 1).encode(),
            "log.csv, row 8: 7 cells where the header has 6",
        ),
        "ragged below a cell of two lines": (
            long.replace("Zoë 0,", '"Zoë\n0",', 1).encode(),
            "log.csv, row 7: 7 cells where the header has 6",
        ),
        "a word among numbers": (
            word.encode(),
            "log.csv, row 7, column 'dwell': 'forty' is not a number",
        ),
        "an infinite number": (
            word.replace("forty", "-inf").encode(),
            "log.csv, row 7, column 'dwell': the cell is infinite",
        ),
        "a word below a blank line": (
            word.replace("\nRen", "\n\nRen", 1).encode(),
            "log.csv, row 8, column 'dwell': 'forty' is not a number",
        ),
        "a number with two points": (
            ("\n".join(semicolons) + "\n").encode(),
            "log.csv, row 7, column 'dwell': '4.0.0' is not a number",
        ),
        "an open quote": (
            with_line(USERS * EACH, '"Zoë 1,café 1,9999,3.0,4.0,1').encode(),
            "a quote is opened",
        ),
        "no text": (
            PLAIN.encode() + b"\x81\x01,a,1,1,1,1\n",
            "is not text in UTF-8 or Windows-1252",
        ),
        "an Excel file": (
            b"PK\x03\x04" + b"x" * 90,
            "log.csv: is a zip or Excel file, not CSV text",
        ),
        "nothing": (b"\n \n", "log.csv: the file is empty"),
        "a header": (",".join(HEADER).encode(), "log.csv: there is a header but no row below it"),
    }


@pytest.mark.parametrize("kind", faulty())
def test_a_faulty_table_is_refused_in_the_same_words_in_every_family(
    kind: str, tmp_path: Path
) -> None:
    content, said = faulty()[kind]
    found = set()
    for family in FAMILIES:
        (tmp_path / family).mkdir()
        with pytest.raises(BadData) as caught:
            read(family, tmp_path / family, "log.csv", content)
        message = str(caught.value)
        assert re.search(said, message), f"{family}: {message}"
        found.add((caught.value.row, caught.value.column))
    assert len(found) == 1


def rewritten(delimiter: str, **changes: Callable[[str], str]) -> bytes:
    """The table with some columns written otherwise."""
    lines = [delimiter.join(HEADER)]
    for row in rows():
        cells = dict(zip(HEADER, row, strict=True))
        cells |= {name: change(cells[name]) for name, change in changes.items()}
        lines.append(delimiter.join(f'"{cell}"' for cell in cells.values()))
    return ("\n".join(lines) + "\n").encode()


def grouped(separator: str, decimal: str) -> Callable[[str], str]:
    """A hundred times the number, which then has thousands."""

    def write(cell: str) -> str:
        plain = f"{100 * float(cell) + 0.25:,.2f}"
        return plain.replace(",", "\0").replace(".", decimal).replace("\0", separator)

    return write


def dotted(cell: str) -> str:
    """As a whole number: whether `4.012` has thousands only the other columns know."""
    return f"{1000 + 100 * float(cell):,.0f}".replace(",", ".")


NOTATIONS: dict[str, tuple[str, dict[str, Callable[[str], str]], Callable[[float], float]]] = {
    "commas": (",", {"dwell": grouped(",", ".")}, lambda value: 100 * value + 0.25),
    "dots": (";", {"dwell": grouped(".", ",")}, lambda value: 100 * value + 0.25),
    "spaces": (";", {"dwell": grouped("\u202f", ",")}, lambda value: 100 * value + 0.25),
    "apostrophes": ("\t", {"dwell": grouped("’", ".")}, lambda value: 100 * value + 0.25),
    "lakhs": (
        ",",
        {"dwell": lambda cell: f"1,00,0{float(cell):05.2f}"},
        lambda value: 100_000 + value,
    ),
    "dots that another column proves": (
        ";",
        {"dwell": dotted, "rating": lambda cell: cell.replace(".", ",")},
        lambda value: round(1000 + 100 * value),
    ),
    "a unit": (",", {"dwell": lambda cell: f"{cell} s"}, lambda value: value),
    "bounds": (
        ",",
        {"dwell": lambda cell: f"<{cell}" if cell.endswith("7") else cell},
        lambda value: value,
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", NOTATIONS)
def test_a_number_is_the_same_in_every_notation_and_family(
    family: str, kind: str, tmp_path: Path
) -> None:
    delimiter, changes, value = NOTATIONS[kind]
    seen = read(family, tmp_path, "log.csv", rewritten(delimiter, **changes))
    found = Counter(np.float32(seen.dwell).tolist())
    expected = Counter(np.float32([value(float(row[4])) for row in rows()]).tolist())
    assert found <= expected
    assert found.total() >= len(rows()) - UNUSED
    assert "dwell: " in seen.notes
    assert "nothing in the file proves" not in seen.notes


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("cells", ["1.{0}", "1,{0}"])
def test_a_number_that_nothing_decides_is_doubted_in_every_family(
    family: str, cells: str, tmp_path: Path
) -> None:
    def three(cell: str) -> str:
        return cells.format(f"{round(float(cell) * 10):03d}")

    content = rewritten(";", dwell=three, rating=lambda cell: f"{1000 + 100 * float(cell):.0f}")
    seen = read(family, tmp_path, "log.csv", content)
    assert "dwell: numbers such as '1" in seen.notes
    assert "nothing in the file proves that they are not 1" in seen.notes


START = 1_711_839_600
"""Midnight of 31 March 2024 in Berlin, an hour before its clocks go forward."""
BERLIN = ZoneInfo("Europe/Berlin")


def at(cell: str) -> datetime:
    return datetime.fromtimestamp(START + int(cell), UTC)


def berlin(cell: str) -> str:
    return f"{at(cell).astimezone(BERLIN).isoformat()}[Europe/Berlin]"


def named(cell: str) -> str:
    return f"{at(cell).astimezone(BERLIN).replace(tzinfo=None).isoformat()}[Europe/Berlin]"


def some_utc(cell: str) -> str:
    return at(cell).strftime("%Y-%m-%dT%H:%M:%S") + ("Z" if int(cell) // 60 % 2 else "")


def of_four_units(cell: str) -> str:
    return str((START + int(cell)) * 1000 ** (int(cell) // 60 % 4))


TIMES: dict[str, tuple[Callable[[str], str], str]] = {
    "seconds": (lambda cell: str(START + int(cell)), ""),
    "Z": (lambda cell: at(cell).isoformat(), ""),
    "a zone behind an offset": (berlin, ""),
    "a zone without an offset": (named, ""),
    "some in UTC": (some_utc, "time: 100 of 200 times have no offset, and were taken for UTC"),
    "several units": (
        of_four_units,
        "50 seconds, 50 milliseconds, 50 microseconds, 50 nanoseconds",
    ),
}


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "clustering"])
@pytest.mark.parametrize("kind", TIMES)
def test_the_latest_rows_are_the_same_however_time_is_written(
    family: str, kind: str, tmp_path: Path
) -> None:
    write, note = TIMES[kind]
    for folder in ("plain", "other"):
        (tmp_path / folder).mkdir()
    plain = read(family, tmp_path / "plain", "log.csv", PLAIN.encode())
    seen = read(family, tmp_path / "other", "log.csv", rewritten(",", time=write))
    assert Counter(seen.latest) == Counter(plain.latest)
    assert note in seen.notes
    assert ("time:" in seen.notes) == bool(note)


@pytest.mark.parametrize("family", FAMILIES)
def test_codes_beyond_the_numbers_of_64_bits_are_text_or_refused(
    family: str, tmp_path: Path
) -> None:
    content = rewritten(",", user=lambda name: str(1582218195625938000 + int(name.split()[1])))
    seen = read(family, tmp_path, "log.csv", content)
    assert seen.users == {str(1582218195625938000 + n) for n in range(USERS)}
    (tmp_path / "again").mkdir()
    long = rewritten(",", dwell=lambda cell: f"123456789012345{float(cell):03.0f}")
    if family in ("clustering", "tabular"):
        assert "dwell: taken for codes" in read(family, tmp_path / "again", "log.csv", long).notes
    else:
        with pytest.raises(BadData, match="row 1, column 'dwell': .* is a code"):
            read(family, tmp_path / "again", "log.csv", long)
