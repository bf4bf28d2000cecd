"""One file of each kind through every family that reads tables: the same values, or the same
refusal, everywhere."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from modelyard.errors import BadData
from modelyard.families.anomaly.config import AnomalyConfig
from modelyard.families.anomaly.data import AnomalyData
from modelyard.families.anomaly.parts import PARTS, Part
from modelyard.families.anomaly.schema import Schema
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


def tabular(raw: Path, out: Path) -> Seen:
    settings = {"features": {"target": "rating", "time_column": "time", "max_categories": 100}}
    summary = TabularData(resolve(TabularConfig, ("--set", settings))).features(raw, out)
    parts = [pyarrow.parquet.read_table(out / f"{split}.parquet").to_pydict() for split in SPLITS]
    dwell = [value for part in parts for value in part["dwell"]]
    users = {user for part in parts for user in part["user"]}
    return Seen(dwell, users, " ".join(summary["notes"]))


def anomaly(raw: Path, out: Path) -> Seen:
    settings = {"features": {"window": 1, "kind_column": "user", "drop": ["item", "click"]}}
    summary = AnomalyData(resolve(AnomalyConfig, ("--set", settings))).features(raw, out)
    schema = Schema.load(out / "assets")
    parts = [Part.load(out, name) for name in PARTS]
    dwell = [value for part in parts for value in part.x[:, schema.names.index("dwell")].tolist()]
    return Seen(dwell, set(schema.kinds), " ".join(summary["notes"]))


def recommender(raw: Path, out: Path) -> Seen:
    summary = RecommenderData(RecommenderConfig()).features(raw, out)
    dwell = [value for split in SPLITS for value in load_impressions(out, split)["dwell"].tolist()]
    return Seen(dwell, set(Catalog.load(out / "assets").users), " ".join(summary["notes"]))


FAMILIES: dict[str, Callable[[Path, Path], Seen]] = {
    "tabular": tabular,
    "anomaly": anomaly,
    "recommender": recommender,
}
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
        "two columns of a name": (
            PLAIN.replace("click", "dwell", 1).encode(),
            "2 columns have this name",
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
