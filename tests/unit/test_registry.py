from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.entities.model_registry import RegisteredModel
from mlflow.store.entities import PagedList

from modelyard.errors import BrokenArtifact, Unavailable, UsageError
from modelyard.registry import direct
from modelyard.registry import versions as registry
from modelyard.registry.tracking import client
from modelyard.stages.deploy import deploy
from modelyard.store import artifact
from tests.toy.build import LINE, Built, build

NAME = "tests-toy-family-line"


@pytest.fixture(scope="module")
def yard(tmp_path_factory):
    """Three runs of the toy family in a home of their own: few points, many, and a thousand
    others."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELYARD_HOME", str(home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        configs = {
            "few": {"features": {"points": 30}},
            "many": {"features": {"points": 3000}, "seed": 1},
            "strict": {
                "features": {"points": 1000},
                "data": {"split_seed": 4},
                "seed": 2,
                "registry": {"margin": 0.05},
            },
        }
        yield {name: build(home / NAME / name, name, config) for name, config in configs.items()}


def place(built: Built, tmp_path: Path, run=None):
    headline = deploy(
        run or built.run,
        package=built.package,
        features=built.features,
        deployment=tmp_path / "out",
    )
    return headline, json.loads((tmp_path / "out" / "deployment.json").read_text())


def test_before_anything_is_registered_mlflow_is_not_even_imported(yard, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    assert registry.names() == registry.list_versions(NAME) == []
    assert registry.champion(NAME) is None
    with pytest.raises(
        UsageError, match=r"package 'tabular' is unknown\. Allowed: none.*Type: modelyard run"
    ):
        registry.resolve("tabular")


def test_the_first_package_becomes_champion(yard, tmp_path):
    headline, told = place(yard["few"], tmp_path)
    assert headline == told["reason"]
    assert headline.startswith(f"{NAME} version 1 is champion: mae 0.")
    assert (told["version"], told["champion"], told["previous"], told["champion_metric"]) == (
        "1",
        True,
        None,
        None,
    )


def test_a_better_challenger_takes_over_judged_on_the_same_test_split(yard, tmp_path):
    from modelyard.packages.package import Package

    _, told = place(yard["many"], tmp_path)
    old, run, features = Package(yard["few"].package), yard["many"].run, yard["many"].features
    expected = run.family.evaluate(old.host, old.run, features, "test").metrics["mae"]
    assert told["champion_metric"] == pytest.approx(expected)
    assert told["challenger_metric"] < told["champion_metric"] != old.info.metrics["mae"]
    assert (told["champion"], told["version"], told["previous"]) == (True, "2", "1")
    assert registry.champion(NAME).version == "2"


def test_the_same_package_again_changes_nothing_and_tells_the_same(yard, tmp_path):
    assert place(yard["many"], tmp_path) == place(yard["many"], tmp_path)
    assert [version.version for version in registry.list_versions(NAME)] == ["2", "1"]


def test_a_challenger_that_is_not_better_by_the_margin_is_kept_out(yard, tmp_path):
    headline, told = place(yard["strict"], tmp_path)
    assert headline.startswith("kept version 2: version 3 has mae 0.")
    assert "Version 2 had other splits (data.split_seed was 0)" in headline
    assert (told["champion"], told["version"], told["previous"]) == (False, "3", "2")
    assert registry.champion(NAME).version == "2"


def test_a_champion_that_cannot_be_judged_is_not_replaced_in_silence(yard, tmp_path, monkeypatch):
    broken = tmp_path / "features"
    artifact.clone(yard["many"].features, broken)
    family = type(yard["strict"].run.family)

    def evaluate(self, host, run, features, split="test"):
        raise KeyError("amount")

    monkeypatch.setattr(family, "evaluate", evaluate)
    headline, told = place(yard["strict"], tmp_path)
    assert headline.startswith(
        "kept version 2: it cannot be judged on this data (KeyError: 'amount')"
    )
    assert headline.endswith(f" is better. To switch: modelyard promote {NAME}@3")
    assert told["champion"] is False
    since = dataclasses.replace(yard["strict"].run, code_version="of today")
    _, told = place(yard["strict"], tmp_path, since)
    assert (
        "The code of its family, or modelyard's, has changed since it was made. To"
        in told["reason"]
    )


def test_promoting_by_hand_moves_the_alias(yard):
    registry.set_champion(LINE, "1")
    assert [version.version for version in registry.list_versions(NAME) if version.champion] == [
        "1"
    ]
    registry.set_champion(NAME, "2")
    with pytest.raises(UsageError, match=r"version '9' is unknown\. Allowed: 1, 2, 3"):
        registry.set_champion(NAME, "9")


def test_a_package_is_found_by_name_without_mlflow_as_its_client_finds_it(yard, monkeypatch):
    known = {one.version: one for one in registry.list_versions(NAME)}
    champion = next(one for one in known.values() if one.champion)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    assert direct.find(NAME, "01") is None
    for version, expected in {**known, "champion": champion}.items():
        assert registry.get(NAME, version) == expected
        assert registry.find(NAME, expected.tags[registry.DIGEST]) == expected
    assert registry.champion(NAME).path == registry.resolve(f"{NAME}@{champion.version}")


def test_a_database_that_was_not_made_whole_is_not_there(tmp_path, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "search_registered_models", lambda self, **_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            client()
        assert not (tmp_path / "mlflow.db").exists()
    assert client().search_registered_models() == []
    assert [file.name for file in tmp_path.iterdir() if file.is_dir()] == []


def test_processes_that_begin_together_share_one_database(tmp_path):
    script = (
        "import sys; from modelyard.registry.tracking import client\n"
        "client().create_registered_model(sys.argv[1])"
    )
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    started = [
        subprocess.Popen([sys.executable, "-c", script, name], env=environment)
        for name in ("one", "two", "three")
    ]
    assert [process.wait() for process in started] == [0, 0, 0]
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as tables:
        found = tables.execute("SELECT name FROM registered_models").fetchall()
    assert {name for (name,) in found} == {"one", "two", "three"}


def test_where_the_database_has_other_tables_the_client_is_asked(yard, tmp_path, monkeypatch):
    kept = Path(registry.tracking_uri().removeprefix("sqlite:///"))
    shutil.copyfile(kept, tmp_path / "mlflow.db")
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as tables:
        tables.execute("ALTER TABLE registered_model_aliases RENAME COLUMN workspace TO place")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert direct.find(NAME, "champion") is None


def test_a_reference_is_a_name_a_version_a_run_or_a_folder(yard):
    versions = {one.version: one for one in registry.list_versions(NAME)}
    paths = {
        reference: registry.resolve(reference)
        for reference in (LINE, NAME, f"{LINE}@2", f"{NAME}@champion")
    }
    assert {artifact.verify(path).digest for path in paths.values()} == {
        versions["2"].tags[registry.DIGEST]
    }
    assert (
        artifact.verify(registry.resolve(f"{NAME}@1")).digest
        == artifact.verify(yard["few"].package).digest
    )
    for reference in ("few", str(yard["few"].folder), str(yard["few"].package)):
        assert registry.resolve(reference) == yard["few"].package


def test_a_name_is_followed_to_its_next_champion_and_nothing_else_is(yard):
    for reference in (LINE, NAME, f"{NAME}@champion"):
        assert registry.followed(reference) == NAME
    for reference in (f"{NAME}@2", "few", str(yard["few"].folder), str(yard["few"].package)):
        assert registry.followed(reference) is None


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("tests.toy.famly:Line", f"Did you mean '{NAME}'"),
        (f"{NAME}@7", "version '7' is unknown. Allowed: 1, 2, 3"),
        ("tabular@1", f"registered name 'tabular' is unknown. Allowed: {NAME}"),
        ("./nowhere", "./nowhere is no package"),
        ("20260101-nothing", "a run's id"),
    ],
)
def test_what_nothing_goes_by_is_refused_with_what_there_is(yard, reference, says):
    with pytest.raises(UsageError) as caught:
        registry.resolve(reference)
    assert says in str(caught.value)


def test_a_changed_package_is_not_registered(yard, tmp_path):
    copy = tmp_path / "package"
    shutil.copytree(yard["few"].package, copy)
    (copy / "golden.json").write_text("{}")
    with pytest.raises(BrokenArtifact, match=r"golden\.json was changed"):
        registry.register(copy, yard["few"].run)


def test_a_registered_package_that_was_deleted_is_named(yard):
    version = registry.get(NAME, "3").model_copy(update={"source": "file:///nowhere/at/all"})
    with pytest.raises(
        BrokenArtifact, match=r"version 3: its package is gone from /nowhere/at/all"
    ):
        registry.fetch(version)


def test_a_package_that_lies_elsewhere_is_downloaded_once_and_verified(yard):
    version = registry.get(NAME, "1")
    folder = version.source.rpartition("/")[2]
    elsewhere = version.model_copy(update={"source": f"s3://bucket/{folder}"})
    path = registry.fetch(elsewhere)
    assert artifact.verify(path).digest == artifact.verify(yard["few"].package).digest
    made = (path / "package.json").stat().st_mtime_ns
    assert registry.fetch(elsewhere) == path
    assert (path / "package.json").stat().st_mtime_ns == made
    swapped = elsewhere.model_copy(update={"tags": version.tags | {registry.DIGEST: "f" * 64}})
    with pytest.raises(BrokenArtifact, match="another package lies in its place"):
        registry.fetch(swapped)
    assert not (path.parent / ("f" * 12)).exists()


def test_a_server_that_is_down_is_told_in_a_line(yard, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(
        Unavailable, match=r"MLflow at http://127\.0\.0\.1:9: .*See MLFLOW_TRACKING_URI"
    ):
        registry.resolve("tabular")


def test_names_beyond_the_first_page_of_the_registry_are_known(monkeypatch):
    class Server:
        """1,500 names, of which a page holds 1,000."""

        def search_registered_models(self, max_results, page_token=None):
            start = int(page_token or 0)
            end = min(start + max_results, 1500)
            models = [RegisteredModel(f"m{number}") for number in range(start, end)]
            return PagedList(models, str(end) if end < 1500 else None)

    monkeypatch.setattr(registry, "client", Server)
    monkeypatch.setattr(registry, "_is_empty", lambda: False)
    assert len(registry.names()) == 1500


def test_two_runs_that_register_a_new_name_at_once_both_do(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    built = build(tmp_path / "run", "first", {"features": {"points": 30}})

    def names_just_before_the_other_run(mlflow):
        mlflow.create_registered_model(NAME)
        return []

    monkeypatch.setattr(registry, "_names", names_just_before_the_other_run)
    assert registry.register(built.package, built.run) == "1"


def test_where_no_version_serves_the_newest_is_what_to_promote(yard):
    run, versions = client().create_run("0").info.run_id, 11
    client().create_registered_model("none-serves")
    for number in range(versions):
        tags = {registry.DIGEST: f"{number:064x}"}
        client().create_model_version("none-serves", "file:///nowhere", run, tags=tags)
    with pytest.raises(
        UsageError, match=r"Versions: 11, 10, .*Type: modelyard promote none-serves@11$"
    ):
        registry.resolve("none-serves")
