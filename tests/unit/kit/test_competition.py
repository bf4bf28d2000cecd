"""Folders of competitions: training rows next to rows without the target and a sample of answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelyard.errors import BadData
from modelyard.families.forecast.config import ForecastConfig
from modelyard.families.forecast.data import ForecastData
from modelyard.families.tabular.config import TabularConfig
from modelyard.families.tabular.data import TabularData
from modelyard.families.text.config import TextConfig
from modelyard.families.text.data import TextData
from modelyard.kit.tables import read_table, remarks
from modelyard.kit.tables.competition import beside_training


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.csv").write_text(content)
    return folder


def rows(count: int, form: str) -> str:
    return "".join(form.format(n=number, y=number % 2) for number in range(count))


def test_a_table_is_read_of_its_training_rows(tmp_path: Path) -> None:
    raw = write(
        tmp_path / "raw",
        train="id,heat,target\n" + rows(60, "{n},{n}.5,{y}\n"),
        test="id,heat\n" + rows(20, "{n},1.5\n"),
        sample_submission="id,target\n" + rows(20, "{n},0\n"),
    )
    table = read_table(raw)
    assert table.rows == 60
    assert "test.csv is left out, with 20 rows: it lacks target, which train.csv has" in table.notes
    said = "sample_submission.csv is left out, with 20 rows: it is a sample of a submission"
    assert said in table.notes
    (tmp_path / "out" / "assets").mkdir(parents=True)
    config = TabularConfig.model_validate({"features": {"target": "target"}})
    summary = TabularData(config).features(raw, tmp_path / "out")
    assert sum(summary["rows"].values()) == 60
    assert said in " ".join(summary["notes"])


def test_texts_are_read_of_their_training_rows(tmp_path: Path) -> None:
    raw = write(
        tmp_path / "raw",
        train="id,text,target\n" + rows(80, "{n},the text number {n} of {y},{y}\n"),
        test="id,text\n" + rows(20, "{n},a text {n}\n"),
        sample_submission="id,target\n" + rows(20, "{n},0\n"),
    )
    (tmp_path / "out" / "assets").mkdir(parents=True)
    summary = TextData(TextConfig()).features(raw, tmp_path / "out")
    assert sum(summary["rows"].values()) == 80
    said = "test.csv is left out, with 20 rows: it lacks target, which train.csv has."
    assert said in summary["notes"]


@pytest.mark.parametrize(
    "files",
    [
        {"train.csv": ["a", "y"], "test.csv": ["a", "y"]},
        {"train.csv": ["a", "y"], "test.csv": ["a", "b"]},
        {"north.csv": ["a", "y"], "test.csv": ["a"]},
        {"submission.csv": ["id", "y"]},
        {"train.csv": ["a", "y"], "more.csv": ["a"]},
        {"north.csv": ["a", "y"], "shops.csv": ["a", "b"]},
    ],
)
def test_what_may_be_rows_to_learn_from_stays(files: dict[str, list[str]]) -> None:
    assert beside_training(files) == {}


def test_tables_of_shops_and_prices_next_to_training_rows_are_not_read(tmp_path: Path) -> None:
    days = [f"2024-{1 + n // 28:02}-{1 + n % 28:02}" for n in range(28)]
    sales = "".join(f"{n},{day},{n % 7}.5\n" for n, day in enumerate(days))
    raw = write(
        tmp_path / "raw",
        train="id,date,sales\n" + sales,
        test="id,date\n99,2024-02-01\n",
        sample_submission="id,sales\n99,0\n",
        oil="date,price\n2024-01-01,50.1\n",
        stores="store,city\n1,Quito\n",
    )
    others = ["sample_submission.csv", "oil.csv", "stores.csv", "test.csv"]
    table = read_table(raw)
    assert table.rows == 28
    assert remarks(table.notes) == f"; not read: {', '.join(others)} (see the card)"
    (tmp_path / "out").mkdir()
    config = ForecastConfig.model_validate(
        {"features": {"horizon": 2, "season": 7, "drop": ["id"]}}
    )
    family = ForecastData(config)
    family.check(raw)
    summary = family.features(raw, tmp_path / "out")
    assert "28 steps of 1 day, 1 series" in summary["headline"]
    assert "not read: sample_submission.csv, oil.csv" in summary["headline"]


def test_a_split_with_other_columns_is_still_refused(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw", train="a,y\n1,2\n", validation="a,b\n1,2\n")
    with pytest.raises(BadData, match="has other columns than"):
        read_table(raw)


def test_files_with_other_columns_are_still_refused(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw", north="a,y\n1,2\n", south="a\n1\n")
    with pytest.raises(BadData, match="has other columns than"):
        read_table(raw)
