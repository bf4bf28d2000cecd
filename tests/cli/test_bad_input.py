"""Bad input gets one clear line and exit code 2: what failed, where, what is allowed, what to
type."""

import errno
import gzip
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from modelyard import events
from modelyard.cli import main
from modelyard.cli.app import app
from modelyard.errors import BadData, refusal

HEADER = "age,city,bought\n"
GOOD = HEADER + "".join(
    f"{20 + n % 50},{'Rome' if n % 3 else 'Oslo'},{'yes' if n % 2 else 'no'}\n" for n in range(60)
)


@pytest.fixture
def cli(monkeypatch, tmp_path, capfd):
    """Runs a command in an empty folder; returns its exit code and the lines of its error
    output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "runs"))
    monkeypatch.setenv("COLUMNS", "500")

    def call(*arguments: str) -> tuple[int, list[str]]:
        monkeypatch.setattr(sys, "argv", ["modelyard", *arguments])
        capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, [line for line in capfd.readouterr().err.splitlines() if line.strip()]

    return call


def features(cli, data: str, *more: str) -> tuple[int, list[str]]:
    """Takes a data set as far as the features."""
    code, lines = cli("ingest", "tabular", "--dataset", "d", "--set", f"data.uri={data}", *more)
    if code:
        return code, lines
    return cli(
        "features",
        "tabular",
        "--dataset",
        "d",
        "--features",
        "f",
        "--set",
        f"data.uri={data}",
        *more,
    )


def rows(*lines: str) -> str:
    return GOOD + "".join(line + "\n" for line in lines)


TARGET = ("--set", "features.target=bought")
DATA = {
    "empty file": ("", TARGET, ["a.csv", "empty"]),
    "header only": (HEADER, TARGET, ["a.csv", "no row below"]),
    "target not named": (GOOD, (), ["--target NAME", "age, city, bought"]),
    "target missing": (
        GOOD,
        ("--set", "features.target=bougth"),
        ["'bougth'", "Did you mean 'bought'"],
    ),
    "one class": (GOOD.replace(",no", ",yes"), TARGET, ["'bought'", "one class"]),
    "three rows": (
        HEADER + "1,Rome,yes\n2,Oslo,no\n3,Rome,yes\n",
        TARGET,
        ["1 of 3 rows", "each class needs 6"],
    ),
    "a column of the target's name": (
        GOOD.replace("age,city", "age,bought", 1),
        TARGET,
        ["'bought'", "another column has its name", "bought.1"],
    ),
    "ragged row": (rows("1,Rome"), TARGET, ["row 61", "3"]),
    "too long row": (rows("1,Rome,yes,more"), TARGET, ["row 61", "4"]),
    "mixed types": (rows("forty,Rome,yes"), TARGET, ["row 61", "'age'", "forty"]),
    "infinite value": (rows("inf,Rome,yes"), TARGET, ["row 61", "'age'", "inf"]),
    "target mostly empty": (
        "\n".join(GOOD.splitlines()[:25]) + "\n30,Rome," * 60 + "\n",
        TARGET,
        ["'bought'", "half"],
    ),
    "no column left": ("x,bought\n" + "1,yes\n1,no\n" * 30, TARGET, ["no column is left", "x"]),
    "unclosed quote": (rows('1,"Rome,yes'), TARGET, ["a.csv", "row 61", "opened and never closed"]),
    "unknown positive class": (
        GOOD,
        (*TARGET, "--set", "features.positive=maybe"),
        ["'maybe'", "no, yes"],
    ),
    "drop of an absent column": (
        GOOD,
        (*TARGET, "--set", "features.drop=[cty]"),
        ["'cty'", "Did you mean 'city'"],
    ),
    "sum that does not match": (
        GOOD,
        (*TARGET, "--set", "data.sha256={a.csv: '" + "0" * 64 + "'}"),
        ["a.csv", "sha256", "expected 0000"],
    ),
}


@pytest.mark.parametrize("name", DATA)
def test_a_bad_table_is_one_line(cli, name):
    text, settings, words = DATA[name]
    Path("a.csv").write_text(text)
    code, lines = features(cli, "a.csv", *settings)
    assert (code, len(lines)) == (2, 1), lines
    assert lines[0].startswith("error: ")
    assert all(word in lines[0] for word in words), lines[0]
    assert not Path("f").exists()


def test_a_wrong_delimiter_is_found_by_itself_or_named(cli):
    Path("a.csv").write_text(GOOD.replace(",", ";"))
    assert features(cli, "a.csv", *TARGET)[0] == 0
    Path("b.csv").write_text(GOOD.replace(",", "^"))
    code, lines = features(cli, "b.csv", *TARGET)
    assert (code, len(lines)) == (2, 1)
    assert "b.csv" in lines[0]
    assert "one column" in lines[0]


def test_latin_1_is_read_and_told(cli):
    Path("a.csv").write_bytes(GOOD.replace("Rome", "Köln").encode("latin-1"))
    assert features(cli, "a.csv", *TARGET)[0] == 0
    notes = json.loads(Path("f/summary.json").read_text())["notes"]
    assert any("1252" in note for note in notes)


FILES = {
    "a folder without data": (lambda: Path("a").mkdir(), "a", ["no files"]),
    "a folder for a file": (
        lambda: (Path("a.csv").mkdir(), Path("a.csv/x.md").write_text("x")),
        "a.csv",
        ["holds no table", ".csv"],
    ),
    "no such file": (lambda: None, "nothing.csv", ["nothing.csv", "does not exist"]),
    "binary garbage": (
        lambda: Path("a.csv").write_bytes(bytes(range(256)) * 40),
        "a.csv",
        ["a.csv"],
    ),
    "truncated Parquet": (
        lambda: _parquet(Path("a.parquet"), 200),
        "a.parquet",
        ["a.parquet", "Parquet"],
    ),
    "truncated gzip": (
        lambda: Path("a.csv.gz").write_bytes(gzip.compress(GOOD.encode())[:-20]),
        "a.csv.gz",
        ["a.csv.gz"],
    ),
    "unknown ending": (lambda: Path("a.mat").write_bytes(b"MATLAB"), "a.mat", [".csv", ".parquet"]),
    "no workbook": (lambda: Path("a.xlsx").write_bytes(b"PK"), "a.xlsx", ["is not a workbook"]),
    "unknown scheme": (lambda: None, "s4://bucket/a.csv", ["'s4'", "s3"]),
    "a password in the URI": (
        lambda: None,
        "git+https://me:secret@host/x.git#a.csv",
        ["environment"],
    ),
}


def _parquet(path: Path, size: int) -> None:
    from modelyard.store.tables import write_parquet

    write_parquet([{"age": 1.0, "bought": "yes"}] * 50, path)
    path.write_bytes(path.read_bytes()[:size])


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_is_one_line(cli, name):
    make, uri, words = FILES[name]
    make()
    code, lines = features(cli, uri, *TARGET)
    assert (code, len(lines)) == (2, 1), lines
    assert all(word in lines[0] for word in words), lines[0]
    assert "secret" not in lines[0]


COMMANDS = {
    "unknown family": (("run", "tabluar"), ["'tabluar'", "Did you mean 'tabular'"]),
    "no family": (("run",), ["modelyard run tabular"]),
    "a module that is not there": (("run", "--family", "no_such.module:Family"), ["no_such"]),
    "a family without a module": (("run", "--family", ":Family"), ["':Family'", "package.module:"]),
    "a family next to nothing": (("run", "--family", ".a:Family"), ["'.a:Family'", "package."]),
    "a family without an entry": (("run", "--family", "json:"), ["'json:'", "package.module:"]),
    "misspelt setting": (
        ("run", "tabular", "--set", "model.knid=mlp"),
        ["model.knid", "Did you mean 'model.kind'"],
    ),
    "value out of range": (
        ("run", "tabular", "--set", "model.trees=0"),
        ["model.trees", "greater than or equal to 1"],
    ),
    "unknown kind": (
        ("run", "tabular", "--set", "model.kind=svn"),
        ["model.kind", "'svn'", "lightgbm"],
    ),
    "no equals sign": (("run", "tabular", "--set", "model.kind"), ["model.kind", "="]),
    "gate on an unknown metric": (("families", "tabluar"), ["Did you mean"]),
    "a package that is not there": (("predict", "./nowhere"), ["./nowhere", "package.json"]),
    "a model nobody registered": (("serve", "tabular"), ["tabular", "modelyard run"]),
    "a run that is not there": (("resume", "2001"), ["modelyard run tabular"]),
    "an unfinished input": (
        ("train", "tabular", "--features", "f", "--model", "m"),
        ["f", "does not exist"],
    ),
    "a cluster that does not answer": (
        ("submit", "tabular", "--host", "http://127.0.0.1:9"),
        ["127.0.0.1:9", "KFP_HOST"],
    ),
    "a name that is no identifier": (("new", "My-Family"), ["My-Family"]),
    "no version to promote": (("promote", "tabular"), ["tabular@3"]),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_bad_command_is_one_line(cli, name):
    arguments, words = COMMANDS[name]
    code, lines = cli(*arguments)
    assert (code, len(lines)) == (2, 1), lines
    assert all(word in lines[0] for word in words), lines[0]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "MODELYARD_HOME": str(folder / "runs"), "COLUMNS": "300"}
    command = [sys.executable, "-m", "modelyard", "run", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--data", "a.csv", "--target", "bought"), ["features: a.csv", "row 61", "forty"]),
        (
            ("--set", "gate.threshold=0.5", "--set", "features.points=30"),
            ["package: gate not met", "mae = ", "at most 0.5", "modelyard tune line:Line"],
        ),
    ],
    ids=["bad data", "a gate that fails"],
)
def test_the_whole_pipeline_ends_with_the_stage_and_its_line(tmp_path, arguments, words):
    (tmp_path / "a.csv").write_text(rows("forty,Rome,yes"))
    shutil.copy("tests/toy/family.py", tmp_path / "line.py")
    source = (tmp_path / "line.py").read_text().replace("rng.normal(0, 0.1", "rng.normal(0, 3.0")
    (tmp_path / "line.py").write_text(source)
    family = "tabular" if "--data" in arguments else "line:Line"
    done = run(tmp_path, family, *arguments)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert (done.returncode, len(lines)) == (2, 1), done.stdout + done.stderr
    assert all(word in lines[0] for word in words), lines[0]
    assert "modelyard resume" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    (told,) = tmp_path.glob("runs/*/*/events.jsonl")
    failures = [event for _, event in events.read(told) if event["event"] == "failed"]
    assert len(failures) == 1, "a step that failed on this machine is not tried again"


@pytest.mark.parametrize(
    ("family", "data", "arguments", "words"),
    [
        ("tabular", None, ("--target", "bought"), ["'data.csv' does not exist"]),
        ("tabular", "", ("--target", "bought"), ["data.csv: the file is empty"]),
        ("tabular", "a,b\n1,2\n", ("--target", "c"), ["column 'c'", "Columns: a, b"]),
        (
            "tabular",
            "a,b\n1,2\n",
            ("--target", "b", "--set", "features.time_column=when"),
            ["features.time_column", "'when' is not in the table"],
        ),
        ("recommender", "a,b\n1,2\n", (), ["data.csv: no column is the user"]),
        ("anomaly", "a,b\nx,y\n", (), ["data.csv"]),
    ],
)
def test_what_shows_at_a_look_at_the_data_is_told_before_a_run_begins(
    tmp_path, family, data, arguments, words
):
    if data is not None:
        (tmp_path / "data.csv").write_text(data)
    done = run(tmp_path, family, "--data", "data.csv", *arguments)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert (done.returncode, len(lines)) == (2, 1), done.stdout + done.stderr
    assert all(word in lines[0] for word in words), lines[0]
    assert not (tmp_path / "runs").exists()


def test_a_run_says_which_settings_come_from_params_yaml(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(GOOD)
    (tmp_path / "params.yaml").write_text(
        "tabular: {features: {target: diagnosis}, model: {trees: 30, kind: auto}, seed: 3}"
    )
    typed = ["run", "tabular", "--data", "t.csv", "--set", "seed=4"]
    shown = CliRunner().invoke(app, typed)
    assert shown.output.strip() == "from params.yaml: features.target=diagnosis, model.trees=30"
    assert "no such column to predict" in str(shown.exception)
    shown = CliRunner().invoke(app, [*typed, "--target", "boght", "--set", "model.trees=5"])
    assert shown.output.strip() == ""


def test_what_the_command_line_changes_need_not_go_together_with_params_yaml(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(GOOD)
    (tmp_path / "params.yaml").write_text(
        "tabular: {features: {target: boght, split: random, time_column: day}, "
        "cluster: {node_selector: {example.com/zone: a}}, training: {learning_rate: 0.0020}}"
    )
    typed = ["run", "tabular", "--data", "t.csv", "--set", "features.time_column=null"]
    shown = CliRunner().invoke(app, typed)
    assert "no such column to predict" in str(shown.exception)
    said = "".join(shown.output.split("\n"))
    assert "features.target=boght, features.split=random" in said
    assert "cluster.node_selector.example.com/zone=a, training.learning_rate=0.002" in said


@pytest.mark.parametrize(
    "raised",
    [
        OSError(errno.ENOSPC, "No space left on device", "runs/a.npy"),
        OSError("1856 requested and 992 written"),  # numpy's
        sqlite3.OperationalError("database or disk is full"),
    ],
    ids=["the system", "numpy", "SQLite"],
)
def test_a_full_disk_ends_a_stage_in_one_line_and_is_no_bug(cli, monkeypatch, tmp_path, raised):
    (tmp_path / "good.csv").write_text(GOOD)
    told = tmp_path / "events.jsonl"
    monkeypatch.setenv(events.VARIABLE, str(told))

    def full(*arguments, **named):
        raise raised

    monkeypatch.setattr("modelyard.store.artifact.seal", full)
    code, lines = cli("ingest", "tabular", "--dataset", "d", "--set", "data.uri=good.csv")
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith("error: no space left on device")
    assert "Free some space" in lines[0]
    failed = [event for _, event in events.read(told)][-1]
    assert (failed["kind"], failed.get("traceback")) == ("UsageError", None)


def test_a_home_that_is_no_folder_is_named(cli, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "file"))
    code, lines = cli("run", "tabular")
    assert code == 2
    assert lines[-1].startswith(f"error: not a directory: {tmp_path / 'file'}")


def test_what_may_be_a_bug_and_what_is_said_already_are_left_as_they_are():
    assert refusal(OSError(errno.ENOENT, "No such file", "a")) is None
    assert refusal(ValueError("shapes differ")) is None
    assert refusal(BadData("database or disk is full")) is None


def test_data_without_their_option_are_told_what_to_type(cli, tmp_path):
    (tmp_path / "sales.csv").write_text(GOOD)
    code, lines = cli("run", "tabular", "sales.csv")
    assert code == 2
    assert lines == [
        "error: 'sales.csv' is one word too many. For your own data type: "
        "modelyard run tabular --data sales.csv"
    ]
    code, lines = cli("run", "tabular", "training.lr=0.1")
    assert code == 2
    assert lines[-1].endswith("For a setting type: modelyard run tabular --set training.lr=0.1")
    (tmp_path / "my sales").mkdir()
    for given, typed in (("sales.csv", "sales.csv"), ("my sales", "'my sales'")):
        code, lines = cli("run", given)
        assert code == 2
        assert lines == [f"error: name a family. Type: modelyard run FAMILY --data {typed}"]


def test_a_file_that_is_called_as_a_family_is_not_taken_for_data(cli, tmp_path):
    (tmp_path / "tabular").write_text("notes")
    code, lines = cli("run", "tabular", "--data", "none.csv")
    assert code != 0
    assert "'none.csv' does not exist" in lines[-1]
