"""The commands that the families' READMEs and the pages on data show, on data like theirs."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modelyard import family as families
from tests.cli.documented import ROOT, on_page
from tests.cli.test_documented_commands import environment, typed

pytestmark = pytest.mark.slow

HOLDS = {
    "anomaly": ["sensors"],
    "clustering": ["customers"],
    "detection": ["street"],
    "image": ["scans"],
    "language": ["notes"],
    "recommender": ["ml-latest-small"],
    "segmentation": ["land"],
    "tabular": ["customers"],
    "text": ["reviews"],
}
"""Folders that the README of a family speaks of."""
LOCAL = {"s3://scans/2026": "scans", "s3://scans/2027": "later"}
"""Object stores of the pages, and what stands for them here."""


@pytest.fixture
def folder(tmp_path) -> Path:
    """A working folder."""
    return tmp_path


def sample(name: str, target: Path) -> None:
    target.mkdir()
    families.load(name).reader().sample(target)


def as_customers(folder: Path) -> None:
    """The table as the README of `tabular` calls it and its target."""
    header, _, rows = (folder / "customers" / "data.csv").read_text().partition("\n")
    (folder / "customers.csv").write_text(header.replace("diagnosis", "churn") + "\n" + rows)


def as_segments(folder: Path) -> None:
    """The table as the README of `clustering` calls it and its labels."""
    header, _, rows = (folder / "customers" / "data.csv").read_text().partition("\n")
    (folder / "customers.csv").write_text(header.replace("cultivar", "segment") + "\n" + rows)


def as_movie_lens(folder: Path) -> None:
    """Those of the interactions that have a rating, in MovieLens' files."""
    here = folder / "ml-latest-small"
    with (here / "interactions.csv").open() as stream:
        rated = [row for row in csv.DictReader(stream) if row["rating"]]
    lines = ["userId,movieId,rating,timestamp"]
    lines += [
        f"{row['userId']},{row['itemId']},{row['rating']},{row['timestamp']}" for row in rated
    ]
    (here / "ratings.csv").write_text("\n".join(lines))
    (here / "interactions.csv").unlink()
    items = (
        (here / "items.csv").read_text().replace("itemId,title,category", "movieId,title,genres")
    )
    (here / "movies.csv").write_text(items)
    (here / "items.csv").unlink()
    shutil.copy(here / "ratings.csv", folder / "ratings.csv")


def as_reviews(folder: Path) -> None:
    """Some of the texts as the README of `text` calls them and their label; and what its other
    tasks read."""
    rows = (folder / "reviews" / "docstrings.csv").read_text().replace(",area", ",sentiment", 1)
    (folder / "reviews.csv").write_text(rows)
    for target, features in (
        ("articles", {"labels": "many"}),
        ("conll2003", {"task": "tag"}),
        ("squad", {"task": "answer"}),
    ):
        (folder / target).mkdir()
        config = families.load("text").Config.model_validate({"features": features})
        families.load("text").reader(config).sample(folder / target)
    rows = (folder / "articles" / "docstrings.csv").read_text().replace(",labels", ",topics", 1)
    (folder / "articles.csv").write_text(rows)


RENAMED = {
    "clustering": as_segments,
    "recommender": as_movie_lens,
    "tabular": as_customers,
    "text": as_reviews,
}


@pytest.mark.parametrize("name", HOLDS)
def test_the_commands_of_a_family_s_readme_run(folder, name):
    for target in HOLDS[name]:
        sample(name, folder / target)
    if name in RENAMED:
        RENAMED[name](folder)
    ran = [
        typed(folder, one.words)
        for one in on_page(ROOT / "src/modelyard/families" / name / "README.md")
    ]
    assert ran
    assert all("package  " in printed for printed in ran)


def test_a_second_year_of_scans_goes_on_from_the_champion(folder):
    for target in LOCAL.values():
        sample("image", folder / target)
    commands = list(on_page(ROOT / "docs" / "continual.md"))
    assert len(commands) == 2
    printed = [
        typed(folder, [LOCAL.get(word, word) for word in command.words]) for command in commands
    ]
    assert "scans version 1 is champion" in printed[0]
    assert "Next: modelyard serve scans@2" in printed[1]


def test_own_data_come_in_by_dvc_as_the_page_shows(folder):
    text = (ROOT / "docs" / "data.md").read_text()
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    (block,) = [one for one in blocks if one.startswith("cp my.csv ")]
    checkout = folder / "checkout"
    shell(folder, f"git clone --quiet {ROOT} checkout")
    shell(checkout, "dvc pull --quiet data/tabular.dvc")
    rows = (checkout / "data/tabular/data.csv").read_text().splitlines()
    (checkout / "my.csv").write_text("\n".join(rows[:400]))
    printed = shell(checkout, block)
    assert "399 rows" in printed


def shell(folder: Path, script: str) -> str:
    """What a script prints; each of its commands must succeed."""
    binaries = Path(sys.executable).parent
    author = {
        f"GIT_{who}_{what}": "someone@example.org"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=folder,
        env=environment(folder) | author | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


QUICK = {
    "image": ["features.sample_images=400", "features.size=16", "training.epochs=12"],
    "language": [
        *("features.vocabulary=400", "features.evaluation_bytes=5000"),
        *("features.sample_bytes=24000", "model.layers=2", "model.width=32", "model.heads=2"),
        *("model.kv_heads=1", "model.context=64", "model.draft_layers=1", "training.epochs=3"),
        *("training.batch_size=8", "training.learning_rate=0.01"),
    ],
    "tabular": [],
}
"""Settings with which the runs of a page take seconds."""


def quickly(words: list[str]) -> list[str]:
    small = QUICK[words[1]] if words[0] == "run" else []
    return [*words, *(word for setting in small for word in ("--set", setting))]


def test_the_commands_of_the_pages_on_training_and_compression_run(folder):
    typed(folder, ["run", "tabular"])
    for page in ("training.md", "compression.md"):
        for one in on_page(ROOT / "docs" / page):
            if one.words[0] == "submit" or "--gpus" in one.words:  # see tests/kubeflow
                continue
            assert "✓ serves" in typed(folder, quickly(theirs(folder, one.words)))


def theirs(folder: Path, words: list[str]) -> list[str]:
    """The command with packages and features that these runs left, instead of the page's."""
    found = []
    for word in words:
        example = re.fullmatch(r"runs/(\w+)/[^/]+/(\w+)", word)
        if example:
            word = str(next(folder.glob(f"runs/{example[1]}/*/{example[2]}")))
        found.append(word.replace("tabular@3", "tabular@1"))
    return found
