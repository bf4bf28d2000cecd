"""What README, docs and messages tell people to type exists, and does what the pages say."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from modelyard.cli import options
from tests.cli.documented import MISUSED, PAGES, ROOT, Documented, commands, hints, on_page, parsed

DOCUMENTED = [one for page in PAGES for one in on_page(page)]
README = [one for one in DOCUMENTED if one.page == ROOT / "README.md"]
OWN_FAMILY = "my_pkg:MyFamily"
ELSEWHERE = {"submit", "new"}
"""Commands that need a cluster, or whose result has tests of its own."""


def test_pages_hold_commands():
    assert len(DOCUMENTED) > 40
    assert {one.words[0] for one in README} >= {"run", "serve", "predict", "tune", "cost"}


@pytest.mark.parametrize("one", DOCUMENTED, ids=str)
def test_the_command_line_knows_each_documented_command(one, tmp_path):
    given = parsed(one.words)
    assignments, family = given.get("settings"), given.get("family")
    ours = family and ":" not in family  # the page of an own one has a test of its own
    if assignments and ours and one.words[0] in ("run", "tune", "submit", "train"):
        (tmp_path / "none.yaml").touch()
        options.settings(family, assignments=list(assignments), params=tmp_path / "none.yaml")


def test_a_command_with_a_mistyped_option_or_setting_is_found():
    with pytest.raises(MISUSED):
        parsed(["run", "tabular", "--datas", "x.csv"])
    with pytest.raises(KeyError):
        parsed(["runn", "tabular"])


def test_each_command_that_a_message_names_exists_with_its_options():
    known = {
        name: {option for parameter in command.params for option in parameter.opts}
        for name, command in commands().items()
    }
    found = list(hints())
    assert len(found) > 60
    # Words behind the name in a sentence: `modelyard needs Python 3.11`.
    named = [(where, command, given) for where, command, given in found if command in known]
    wrong = [
        f"{where}: modelyard {command} {option}"
        for where, command, given in named
        for option in given
        if option not in known[command] | {"--help"}
    ]
    assert wrong == []


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A working folder with the data that the README speaks of, and a run on the table of `make run`."""
    folder = tmp_path_factory.mktemp("newcomer")
    generator = np.random.default_rng(0)
    months = generator.integers(1, 60, 400)
    amounts = generator.gamma(2, 30, 400).round(2)
    churned = generator.random(400) < 1 / (1 + np.exp(months / 8 - amounts / 60))
    lines = [
        f"{number},{month},{amount},{'yes' if gone else 'no'}"
        for number, (month, amount, gone) in enumerate(zip(months, amounts, churned, strict=True))
    ]
    (folder / "customers.csv").write_text("customer_id,months,amount,churned\n" + "\n".join(lines))
    (folder / "new.csv").write_text("customer_id,months,amount\n900,3,120.5\n901,50,12\n")
    typed(folder, ["run", "tabular"])
    return folder


def environment(folder: Path) -> dict[str, str]:
    return os.environ | {"MODELYARD_HOME": str(folder / "runs"), "COLUMNS": "200"}


def typed(folder: Path, words: list[str]) -> str:
    """What a command prints; it must succeed."""
    command = [sys.executable, "-m", "modelyard", *words]
    done = subprocess.run(
        command, cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"modelyard {shlex.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def shorter(words: list[str]) -> list[str]:
    """The command with a search of two trials."""
    found = list(words)
    if "--trials" in found:
        found[found.index("--trials") + 1] = "2"
    elif found[0] == "tune":
        found += ["--trials", "2"]
    return found


def runs_here(one: Documented) -> bool:
    here = one.words[0] not in {*ELSEWHERE, "serve", "compile"}
    return here and "--gpus" not in one.words and OWN_FAMILY not in one.words


def test_every_command_of_the_readme_runs_in_its_order(home):
    ran = []
    for one in README:
        if runs_here(one):
            ran.append(typed(home, shorter(one.words)))
        elif one.words[0] == "serve":
            with served(home, one.words) as (_, curl):
                assert curl
    assert len(ran) == 6
    answers = (home / "answers.csv").read_text().splitlines()
    assert len(answers) == 3


PLACEHOLDERS = {
    "PACKAGE": "tabular",
    "my.csv": "customers.csv",
    "y": "churned",
    "20310405": "RUN",
    "tabular-customers@2": "tabular@1",
    "tabular-customers@1": "tabular@1",
    "tabular@3": "tabular@1",
    "3": "1",
}
"""What stands in the docs for what a reader has: here what the runs of these tests left."""
SHOWN = ("card.md", "cost.md", "deploy.md", "doctor.md", "monitoring.md", "tuning.md")
"""Pages whose commands run on a laptop in seconds; the others start clusters, GPUs or long runs."""


def filled(home: Path, words: list[str]) -> list[str]:
    """The command with what these tests have in the place of the page's examples."""
    run = sorted(path.parent.name for path in home.glob("runs/tabular/*/package"))[0]
    found = [PLACEHOLDERS.get(word, word) for word in words]
    best = next(home.glob("runs/tuning/tabular/*/best.yaml"), None)
    return shorter(
        [
            run if word == "RUN" else str(best) if word.endswith("best.yaml") else word
            for word in found
        ]
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", SHOWN)
def test_the_commands_of_a_page_run_in_their_order(home, name):
    ran = 0
    for one in on_page(ROOT / "docs" / name):
        if {"--cluster", "-n", "RELEASE"} & set(one.words):  # see tests/kubeflow/test_documented.py
            continue
        if one.words[0] == "rollback":
            make_champion_of_the_second(home)
        typed(home, filled(home, one.words))
        ran += 1
    assert ran >= 1


def make_champion_of_the_second(home: Path) -> None:
    """So that there is something to go back from."""
    if len(list(home.glob("runs/tabular/*/package"))) < 2:
        typed(home, ["run", "tabular", "--fresh", "--set", "seed=1"])
    typed(home, ["promote", "tabular@2"])


@contextmanager
def served(folder: Path, words: list[str]) -> Iterator[tuple[str, list[str]]]:
    """A service as the README starts it, on a free port: its address, and the words of the curl
    line that it prints."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "modelyard", *words, "--port", str(port)]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield _printed(process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def _printed(process: subprocess.Popen[str]) -> tuple[str, list[str]]:
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if line.strip().startswith("curl "):
            curl = shlex.split(line.strip())
            url = next(word for word in curl if word.startswith("http"))
            return url.removesuffix("/predict"), curl
    raise AssertionError(f"no curl line was printed:\n{seen}")


@pytest.fixture(scope="module")
def service(home) -> Iterator[tuple[str, list[str]]]:
    with served(home, ["serve", "tabular"]) as found:
        yield found


def test_the_printed_curl_line_is_answered_when_it_is_pasted(service):
    _, curl = service
    done = subprocess.run([*curl, "--silent"], capture_output=True, text=True, timeout=30)
    assert '"label"' in done.stdout


def test_the_bad_field_of_the_readme_is_answered_as_the_readme_says(service):
    address, curl = service
    text = (ROOT / "README.md").read_text()
    name, value = re.search(r"\$ curl -d '\{\"(\w+)\": \"(\w+)\", …\}'", text).groups()
    body = next(word for word in curl if word.startswith("{"))
    fields = httpx.Response(200, text=body).json() | {name: value}
    reply = httpx.post(f"{address}/predict", json=fields)
    assert reply.status_code == 400
    shown = re.search(r'^\{"error": "(.*?)", "field"', text, re.MULTILINE)[1]
    assert reply.json()["error"] == shown.replace('\\"', '"')
    assert reply.json()["field"] == name


@pytest.mark.parametrize("path", ["/", "/openapi.json", "/metrics"])
def test_the_pages_of_the_service_that_the_readme_names_are_there(service, path):
    address, _ = service
    assert httpx.get(address + path).status_code == 200
