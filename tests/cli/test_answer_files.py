"""Files of examples for `modelyard predict`."""

from __future__ import annotations

import base64
import csv
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel, Field

from modelyard.cli.answer import answer, answers_of_folder
from modelyard.cli.examples import read_examples
from modelyard.cli.writing import write_answers
from modelyard.errors import BadData, UsageError
from modelyard.families.image.host import ImageHost
from modelyard.families.text.answering.host import AnswerHost
from modelyard.families.text.tagging.host import TagHost
from modelyard.host import Host
from modelyard.store.tables import connect, read_parquet
from tests.toy.build import build
from tests.toy.family import LineHost


def package(request: type[BaseModel], reader: type[Host]) -> SimpleNamespace:
    """What reading a file asks of a package: the fields of a request, and how its family reads
    files."""
    return SimpleNamespace(
        host=SimpleNamespace(
            Request=request,
            reads=reader.reads,
            read_file=lambda file: reader.read_file(reader.__new__(reader), file),
        )
    )


def test_a_file_without_any_column_of_the_model_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "new.csv"
    file.write_text("Width,Height\n1,2\n")
    with pytest.raises(
        BadData,
        match="new.csv: no column is one that the model takes; seen: Width, Height. Allowed: ",
    ):
        read_examples(file, package(LineHost.Request, LineHost))


def test_a_picture_is_an_example_and_a_file_of_an_unknown_kind_is_not(tmp_path: Path) -> None:
    (tmp_path / "scan.png").write_bytes(b"bytes")
    pictures = package(ImageHost.Request, ImageHost)
    found = read_examples(tmp_path / "scan.png", pictures)
    assert [base64.b64decode(one.body["image"]) for one in found] == [b"bytes"]
    (tmp_path / "scan.xcf").write_bytes(b"bytes")
    with pytest.raises(BadData, match="cannot read .xcf files. Allowed: .*.png, .*.csv, "):
        read_examples(tmp_path / "scan.xcf", pictures)


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """A package, and orders with columns that it does not use."""
    folder = tmp_path_factory.mktemp("orders")
    r = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "order": [9007199254740993 + 2 * n for n in range(200)],
            "weight": np.round(r.normal(10, 2, 200), 2),
            "score": np.round(r.normal(1, 2, 200), 2),
        }
    )
    frame["late"] = np.where(frame["weight"] > 10, "yes", "no")
    frame.to_csv(folder / "orders.csv", index=False)
    config = {
        "data": {"uri": str(folder / "orders.csv")},
        "features": {"target": "late", "drop": ["order", "score"]},
        "model": {"kind": "linear"},
    }
    return build(folder / "run", "first", config, family="tabular").package, frame


def _shuffled(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows in another order, with names of an answer's fields in another case."""
    return frame.sample(frac=1, random_state=1)[:50].assign(Label="x", customer="Zoë")


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_columns_that_the_model_does_not_use_stay_next_to_the_answers(
    tmp_path: Path, orders: tuple[Path, pd.DataFrame], kind: str
) -> None:
    package, frame = orders
    new, out = _shuffled(frame), tmp_path / f"answers.{kind}"
    new.to_csv(tmp_path / "new.csv", index=False)
    if kind != "csv":
        new.to_parquet(tmp_path / "new.parquet")
    answer(
        str(package), None, tmp_path / ("new.csv" if kind == "csv" else "new.parquet"), out, False
    )
    if kind == "csv":
        rows = list(csv.DictReader(out.read_text().splitlines()))
    elif kind == "jsonl":
        rows = [json.loads(line) for line in out.read_text().splitlines()]
    else:
        columns = read_parquet(out)
        rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values())]  # noqa: B905
    assert [int(row["order"]) for row in rows] == new["order"].tolist()
    assert {row["customer"] for row in rows} == {"Zoë"}
    assert [row["late"] for row in rows] == new["late"].tolist()
    # A column named as a field of the answer says whose it is.
    assert [float(row["input.score"]) for row in rows] == new["score"].tolist()
    assert {row["input.Label"] for row in rows} == {"x"}
    assert {row["label"] for row in rows} == {"yes", "no"}
    assert [row["label"] for row in rows] == [
        "yes" if float(row["score"]) >= float(row["threshold"]) else "no" for row in rows
    ]
    assert "weight" not in rows[0]


def test_cells_of_any_type_of_parquet_stay_next_to_the_answers(tmp_path: Path) -> None:
    made = build(tmp_path / "run", "first", {}, family="tests.toy.family:Line").package
    file, out = tmp_path / "new.parquet", tmp_path / "answers.jsonl"
    connect().execute(
        "COPY (SELECT 12.5 AS x, 9.90::DECIMAL(10, 2) AS price, TIME '08:30:00' AS at,"
        " 12345678901234567890::DECIMAL(38, 0) AS card,"
        " INTERVAL 1 DAY AS wait, 'ab'::BLOB AS raw, [DATE '2026-01-31'] AS days,"
        f" 'NaN'::DOUBLE AS gap) TO '{file}' (FORMAT parquet)"
    )
    answer(str(made), None, file, out, False)
    (found,) = [json.loads(line) for line in out.read_text().splitlines()]
    assert (found["price"], found["card"]) == (9.9, "12345678901234567890")
    assert (found["at"], found["wait"]) == ("08:30:00", "1 day, 0:00:00")
    assert base64.b64decode(found["raw"]) == b"ab"
    assert (found["days"], found["gap"]) == (["2026-01-31"], None)


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_list_without_an_example_is_refused(
    tmp_path: Path, orders: tuple[Path, pd.DataFrame], kind: str
) -> None:
    (tmp_path / "new.json").write_text("[]")
    with pytest.raises(UsageError, match=r"new\.json: there is no example to answer"):
        answer(str(orders[0]), None, tmp_path / "new.json", tmp_path / f"out.{kind}", False)
    with pytest.raises(UsageError, match="--json: there is no example to answer"):
        answer(str(orders[0]), "[]", None, tmp_path / f"out.{kind}", False)
    assert not (tmp_path / f"out.{kind}").exists()


def test_an_ending_that_cannot_be_written_is_refused_before_anything_is_answered(
    tmp_path: Path,
) -> None:
    with pytest.raises(UsageError, match=r"cannot write \.xlsx\. Allowed: \.jsonl, \.csv"):
        answer("nothing-of-this-name", "{}", None, tmp_path / "out.xlsx", False)


def test_json_lines_keep_their_ids_and_a_misspelt_body_is_refused(
    tmp_path: Path, orders: tuple[Path, pd.DataFrame], capsys: pytest.CaptureFixture[str]
) -> None:
    package, _ = orders
    file = tmp_path / "new.jsonl"
    file.write_text('{"weight": 12.5, "id": "a"}\n{"weight": 7.5, "id": "b"}\n')
    answer(str(package), None, file, None, False)
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["id"], one["label"]) for one in found] == [("a", "yes"), ("b", "no")]
    file.write_text('{"weight": 12.5}\n{"wieght": 7.5}\n')
    with pytest.raises(BadData, match="row 2, column 'weight'"):
        answer(str(package), None, file, None, False)


def test_rows_without_a_whole_example_stay_and_have_no_answer(tmp_path: Path) -> None:
    class Windows(LineHost):
        def read_file(self, file: Path) -> list[dict[str, object]]:
            return [{"id": "a"}, {"id": "b", "x": 1.0}]

    (tmp_path / "new.csv").write_text("id,x\na,\nb,1\n")
    examples = read_examples(tmp_path / "new.csv", package(LineHost.Request, Windows))
    assert [(one.whole, one.unused) for one in examples] == [
        (False, {"id": "a"}),
        (True, {"id": "b"}),
    ]


def test_json_lines_are_read_as_in_training_and_a_broken_one_is_named(tmp_path: Path) -> None:
    """U+2028 ends no row; a mark in front and another ending are as good."""
    file = tmp_path / "new.ndjson"
    row = json.dumps({"x": 1.0, "id": "a\u2028b"}, ensure_ascii=False)
    file.write_text(f"\ufeff{row}\r\n\n", encoding="utf-8")
    lines = package(LineHost.Request, LineHost)
    (found,) = read_examples(file, lines)
    assert (found.body, found.unused) == ({"x": 1.0}, {"id": "a\u2028b"})
    file.write_text('{"x": 1}\n{"x":\n')
    with pytest.raises(BadData, match=r"new.ndjson, row 2: is not JSON"):
        read_examples(file, lines)
    file.write_bytes(b'{"x": 1}\n{"x": 1, "id": "\xe4"}\n')
    with pytest.raises(BadData, match=r"row 2: byte 0xe4 is not UTF-8"):
        read_examples(file, lines)
    file.write_text('{"x": 1, "id": "\\ud83d\\ude00"}\n')
    assert read_examples(file, lines)[0].unused == {"id": "😀"}
    file.write_text('{"x": 1}\n{"x": 1, "id": "\\uD83D"}\n')
    with pytest.raises(BadData, match="row 2: holds half of a surrogate pair"):
        read_examples(file, lines)
    (tmp_path / "new.json").write_text('[{"x": 1, "id": "\\ud83d"}]')
    with pytest.raises(UsageError, match="new.json is not JSON: it holds half of a surrogate pair"):
        read_examples(tmp_path / "new.json", lines)
    (tmp_path / "new.json").write_text("[1,")
    with pytest.raises(UsageError, match="new.json is not JSON"):
        read_examples(tmp_path / "new.json", lines)


def test_answers_are_written_in_their_own_letters_where_the_terminal_can(
    tmp_path: Path, orders: tuple[Path, pd.DataFrame], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "new.jsonl").write_text('{"weight": 12.5, "id": "猫"}\n', encoding="utf-8")
    answer(str(orders[0]), None, tmp_path / "new.jsonl", None, False)
    assert '"id": "猫"' in capsys.readouterr().out
    answer(str(orders[0]), None, tmp_path / "new.jsonl", tmp_path / "out.jsonl", False)
    assert '"id": "猫"' in (tmp_path / "out.jsonl").read_text(encoding="utf-8")


def test_reasons_that_a_model_does_not_give_are_refused_before_it_answers(tmp_path: Path) -> None:
    made = build(tmp_path / "run", "first", {}, family="tests.toy.family:Line").package
    with pytest.raises(UsageError, match="gives no reasons for this model: leave out --explain"):
        answer(str(made), '{"x": 1}', None, None, True)


def test_a_folder_is_answered_file_by_file_and_a_broken_one_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Request(BaseModel):
        image: str
        tags: list[str] = []

    class Pictures(LineHost):
        def read_file(self, file: Path) -> list[dict[str, object]] | None:
            return [{"image": file.read_text()}] if file.suffix == ".png" else None

    def predict(run: object, requests: list[Request]) -> list[Request]:
        if requests[0].image == "broken":
            raise BadData("is not a picture", column="image")
        return requests

    pictures = package(Request, Pictures)
    pictures.parse, pictures.run = Request.model_validate, None
    pictures.host.predict = predict
    (tmp_path / "b").mkdir()
    (tmp_path / "b/1.png").write_text("one")
    (tmp_path / "2.png").write_text("two")
    (tmp_path / "b/.ipynb_checkpoints").mkdir()
    (tmp_path / "b/.ipynb_checkpoints/1.png").write_text("one as it was")
    found = answers_of_folder(tmp_path, pictures, False)
    assert [(one["file"], one["image"]) for one in found] == [("2.png", "two"), ("b/1.png", "one")]
    assert "1 other files" in capsys.readouterr().err
    (tmp_path / "3.png").write_text("broken")
    with pytest.raises(BadData, match=r"3\.png, column 'image': is not a picture"):
        answers_of_folder(tmp_path, pictures, False)
    with pytest.raises(BadData, match="holds no file that this model reads"):
        answers_of_folder(tmp_path / "b", package(Request, LineHost), False)


def test_lists_that_a_family_reads_from_a_file_stay_lists(tmp_path: Path) -> None:
    class Request(BaseModel):
        times: list[str] = []
        values: list[float | None]

    class Series(LineHost):
        def read_file(self, file: Path) -> list[dict[str, object]]:
            return [{"times": ["2026-01-01", "2026-01-02"], "values": [1.0, None], "series": "a"}]

    (tmp_path / "new.csv").touch()
    (found,) = read_examples(tmp_path / "new.csv", package(Request, Series))
    assert found.body == {"times": ["2026-01-01", "2026-01-02"], "values": [1.0, None]}
    assert found.unused == {"series": "a"}


def test_a_list_in_a_table_is_written_as_json(tmp_path: Path) -> None:
    class Request(BaseModel):
        user: str
        history: list[str] | None = None

    file = tmp_path / "users.csv"
    file.write_text('user,history\na,"[""3"", ""7""]"\n"[b]",\n')
    first, second = read_examples(file, package(Request, LineHost))
    assert first.body == {"user": "a", "history": ["3", "7"]}
    assert second.body == {"user": "[b]", "history": None}


def test_steps_and_objects_of_answers_are_rows_of_a_table(tmp_path: Path) -> None:
    steps = {
        "series": "a",
        "times": ["t1", "t2"],
        "median": [1.0, 2.0],
        "quantiles": {"0.1": [0.5, 1.5]},
        "warnings": [{"field": "values", "message": "short"}, {"field": "x", "message": "far"}],
    }
    write_answers([steps], tmp_path / "steps.csv", "median")
    first, second = csv.DictReader((tmp_path / "steps.csv").read_text().splitlines())
    assert [first[name] for name in ("series", "times", "median", "quantiles.0.1")] == [
        *("a", "t1", "1.0", "0.5")
    ]
    assert (second["times"], second["quantiles.0.1"]) == ("t2", "1.5")
    assert len(json.loads(second["warnings"])) == 2
    found = [
        {"file": "1.png", "objects": [{"label": "cat", "box": {"left": 3.5}}], "width": 9},
        {"file": "2.png", "objects": [], "width": 8},
    ]
    write_answers(found, tmp_path / "found.csv", "objects")
    rows = list(csv.DictReader((tmp_path / "found.csv").read_text().splitlines()))
    assert [(row["file"], row["objects.label"], row["objects.box.left"]) for row in rows] == [
        ("1.png", "cat", "3.5"),
        ("2.png", "", ""),
    ]


def bodies(file: Path, kind: type[Host]) -> list[dict[str, object]]:
    return [{**one.body, **one.unused} for one in read_examples(file, package(kind.Request, kind))]


def test_questions_of_squad_are_answered_without_their_answers(tmp_path: Path) -> None:
    asked = [
        {"id": "5a", "question": "Wer?", "answers": [{"text": "Ada", "answer_start": 99}]},
        {"id": "5b", "question": "Wo?"},
    ]
    paragraphs = [{"context": "Ada wohnt in Köln.", "qas": asked}]
    file = tmp_path / "Fragen März.json"
    file.write_text(json.dumps({"version": "1.1", "data": [{"paragraphs": paragraphs}]}))
    context = "Ada wohnt in Köln."
    assert bodies(file, AnswerHost) == [
        {"id": "5a", "question": "Wer?", "context": context},
        {"id": "5b", "question": "Wo?", "context": context},
    ]
    file.write_text(json.dumps([{"question": "Wer?", "context": context}]))
    assert bodies(file, AnswerHost) == [{"question": "Wer?", "context": context}]
    asked[1]["question"] = ""
    file.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    with pytest.raises(BadData, match=r"qas\[1\].question'?: must be a text, seen \"\""):
        bodies(file, AnswerHost)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("new.conll", "-DOCSTART- -X- O O\n\nAda NNP I-NP B-PER\nruft VB O O\n\nNein RB O O\n"),
        ("new.txt", "Ada\tB-PER\r\nruft\tO\r\n\r\nNein\tO\r\n"),
        ("new.conll", "Ada\nruft\n\nNein\n"),
        ("new.bio", "Ada unknown\nruft unknown\n\nNein unknown"),
        ("new.tsv", "text\nAda ruft\nNein\n"),
        ("new.jsonl", '{"tokens": ["Ada", "ruft"], "ner_tags": [3, 0]}\n{"words": ["Nein"]}\n'),
    ],
)
def test_sentences_are_read_as_in_training_and_their_tags_left_aside(
    tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content)
    assert bodies(tmp_path / name, TagHost) == [{"text": "Ada ruft"}, {"text": "Nein"}]


def test_a_text_file_without_tags_is_one_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "note.txt").write_text("Ada ruft an\n\nO\n")
    assert bodies(tmp_path / "note.txt", TagHost) == [{"text": "Ada ruft an\n\nO\n"}]
    said = " ".join(capsys.readouterr().err.split())
    assert (
        "note.txt is one example of 2 lines; for one a line, name it .csv, and write text" in said
    )
    (tmp_path / "new.conll").write_text("Ada NNP\nruft\n")
    with pytest.raises(BadData, match=r"row 2: has one column, 'ruft'; the lines above have 2"):
        bodies(tmp_path / "new.conll", TagHost)


class Guest(BaseModel, extra="forbid"):
    """A request with a text, a number and a list."""

    user: int | str
    k: int = 3
    seen: list[str] = []


def test_a_table_of_excel_is_read_as_it_was_written(tmp_path: Path) -> None:
    guests = SimpleNamespace(host=SimpleNamespace(Request=Guest, read_file=lambda file: None))
    file = tmp_path / "Gäste März.csv"
    file.write_bytes(
        'user;k;seen;Stadt\r\n007;4;"[""a"", ""b""]";Köln\r\nZoë;5;;\r\n'.encode("cp1252")
    )
    first, second = read_examples(file, guests)
    assert first.body == {"user": "007", "k": 4, "seen": ["a", "b"]}
    assert first.unused == {"Stadt": "Köln"}
    assert second.body == {"user": "Zoë", "k": 5}
    file.write_text("user,k\n7,4\n8\n")
    with pytest.raises(BadData, match="row 2: the row has 1 cells, the header has 2|row 2"):
        read_examples(file, guests)


def test_one_answer_needs_no_library_of_tables(tmp_path: Path) -> None:
    """The image of the server holds none."""
    built = build(tmp_path, "r", {}).package
    code = "import sys; sys.modules |= dict.fromkeys(['pyarrow', 'pandas']); from modelyard.cli import main; main()"
    golden = json.loads((built / "golden.json").read_text())
    asked = ["predict", str(built), "--json", json.dumps(golden["request"])]
    done = subprocess.run(
        [sys.executable, "-c", code, *asked], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == golden["response"]


def test_a_row_of_a_large_file_takes_little_memory(
    tmp_path: Path, orders: tuple[Path, pd.DataFrame]
) -> None:
    def peak(rows: int) -> int:
        file = tmp_path / f"{rows}.csv"
        lines = [f"{number},{number % 20 + 0.5},a note of this row\n" for number in range(rows)]
        file.write_text("id,weight,note\n" + "".join(lines))
        tracemalloc.start()
        answer(str(orders[0]), None, file, tmp_path / "out.csv", False)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    # Rows, bodies, requests and answers as objects are 3,000 bytes and more.
    assert (peak(20_000) - peak(10_000)) / 10_000 < 800
    written = (tmp_path / "out.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in written] == ["id", *map(str, range(10_000))]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            "weight,note\n9.5,a\nheavy,b\n",
            "row 2, column 'weight': 'heavy' is not a number. Fix the cell",
        ),
        ("Weight\n9.5\n", "no column is one that the model takes; seen: Weight. Allowed: weight"),
    ],
)
def test_a_row_that_cannot_be_answered_is_told_without_the_advice_of_training(
    tmp_path: Path, orders: tuple[Path, pd.DataFrame], rows: str, said: str
) -> None:
    file = tmp_path / "new.csv"
    file.write_text(rows)
    with pytest.raises(BadData) as refused:
        answer(str(orders[0]), None, file, tmp_path / "out.csv", False)
    assert str(refused.value) == f"{file}{', ' if said.startswith('row') else ': '}{said}"


def test_a_body_is_refused_in_the_words_of_the_service(orders: tuple[Path, pd.DataFrame]) -> None:
    for body, said in (
        ("{}", "row 1, column 'weight': is missing: it must be a number"),
        (
            '[{"weight": 1}, {"weight": "x"}]',
            "row 2, column 'weight': must be a number, seen \"x\"",
        ),
        (
            '{"weight": 1, "wieght": 2}',
            "row 1, column 'wieght': is unknown. Did you mean 'weight'?",
        ),
    ):
        with pytest.raises(BadData) as refused:
            answer(str(orders[0]), body, None, None, False)
        assert str(refused.value).startswith(said)


def test_the_row_that_a_family_cannot_use_is_found_among_many(
    tmp_path: Path, orders: tuple[Path, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    def predict(self: object, run: object, requests: list[BaseModel]) -> list[BaseModel]:
        if any("6.5" in str(request) for request in requests):
            raise BadData("is too heavy", column="weight")
        return requests

    monkeypatch.setattr("modelyard.families.tabular.host.TabularHost.predict", predict)
    file = tmp_path / "new.csv"
    file.write_text("weight\n" + "".join(f"{number}.5\n" for number in range(9)))
    with pytest.raises(BadData, match=r"new.csv, row 7, column 'weight': is too heavy"):
        answer(str(orders[0]), None, file, None, False)


@pytest.mark.parametrize("reader", ["family", "lines"])
def test_rows_are_named_as_a_spreadsheet_shows_them(
    tmp_path: Path,
    orders: tuple[Path, pd.DataFrame],
    monkeypatch: pytest.MonkeyPatch,
    reader: str,
) -> None:
    """Below a line of units and a blank row."""

    def predict(self: object, run: object, requests: list[BaseModel]) -> list[BaseModel]:
        if any("6.5" in str(request) for request in requests):
            raise BadData("is too heavy", column="weight")
        return requests

    host = "modelyard.families.tabular.host.TabularHost"
    monkeypatch.setattr(f"{host}.predict", predict)
    if reader == "lines":
        monkeypatch.setattr(f"{host}.read_file", lambda self, file: None)
    file = tmp_path / "new.csv"
    rows = [f"{number}.5,{number}" for number in range(9)]
    file.write_text("\n".join(["weight,order", "kg,no.", ",", *rows]))
    with pytest.raises(BadData, match=r"new.csv, row 9, column 'weight': is too heavy"):
        answer(str(orders[0]), None, file, None, False)


def test_a_blank_line_among_rows_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a table of one column it may be meant as an empty cell: then answers are fewer than lines."""
    (tmp_path / "new.csv").write_text("x\n1\n\n2\n")
    found = read_examples(tmp_path / "new.csv", package(LineHost.Request, LineHost))
    assert [one.body for one in found] == [{"x": 1}, {"x": 2}]
    assert "1 blank line is no row of new.csv" in capsys.readouterr().err


def test_a_row_without_a_cell_is_told_where_the_family_reads_the_table(
    tmp_path: Path, orders: tuple[Path, pd.DataFrame], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "new.csv").write_text("weight,order\n10,1\n,\n9,2\n")
    answer(str(orders[0]), None, tmp_path / "new.csv", None, False)
    shown = capsys.readouterr()
    assert "1 row is blank in new.csv and" in shown.err
    assert len(shown.out.splitlines()) == 2


def test_objects_of_rows_are_fields_of_the_request_by_both_names(tmp_path: Path) -> None:
    class Request(BaseModel):
        age: int = Field(alias="user.age")
        extra: dict[str, int] | None = None

    (tmp_path / "new.jsonl").write_text(
        '{"user": {"age": 3, "city": "Rome"}, "extra": {"a": 1}, "id": {"n": 7}}\n'
    )
    (found,) = read_examples(tmp_path / "new.jsonl", package(Request, LineHost))
    assert found.body == {"user.age": 3, "extra": {"a": 1}}
    assert found.unused == {"user.city": "Rome", "id": {"n": 7}}
