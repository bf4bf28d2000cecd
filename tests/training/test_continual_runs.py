"""Runs that go on from an earlier model, through the stages: what is brought, carried, told and
refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import fsspec
import pytest
from safetensors.torch import load_file

from modelyard.errors import BrokenArtifact, UsageError
from modelyard.packages.package import Package
from modelyard.registry import versions as registry
from modelyard.stages.deploy import deploy
from modelyard.stages.features import features
from modelyard.stages.run import Run
from modelyard.stages.train import train
from modelyard.store import artifact
from modelyard.store.base import base_of, read_base
from modelyard.training.memory import Memory
from tests.toy.build import LINE, Built, build

SMALL = {
    "model": {"kind": "mlp", "hidden": [8]},
    "training": {"epochs": 3, "batch_size": 64},
    "features": {"sample": "breast_cancer"},
}


def config(**continual: Any) -> dict[str, Any]:
    return SMALL | {"continual": continual}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELYARD_HOME", str(folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield folder


@pytest.fixture(scope="module")
def first(home: Path) -> Built:
    """The first run of a schedule that starts from the champion: there is none yet."""
    built = build(
        home / "tabular" / "first", "first", config(start="champion", memory=30), "tabular"
    )
    deploy(
        built.run, package=built.package, features=built.features, deployment=home / "deployment"
    )
    return built


@pytest.fixture(scope="module")
def plain(home: Path) -> Built:
    """A run that keeps nothing."""
    return build(home / "tabular" / "plain", "plain", config(), "tabular")


def brought(built: Built, out: Path, **continual: Any) -> Path:
    """The features stage again, with other settings of the section."""
    run = Run.of("tabular", config(**continual), id="later")
    features(run, dataset=built.folder / "dataset", features=out)
    return out


def summary(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


def test_before_there_is_a_champion_a_run_starts_anew(first: Built) -> None:
    assert base_of(first.features) is None
    assert "starts_from" not in summary(first.folder / "model")
    assert (
        summary(first.features)["notes"][0]
        == "Starts from scratch: nothing serves as 'tabular' yet."
    )


def test_a_package_carries_weights_and_exemplars_where_asked_and_answers_the_same(
    first: Built, plain: Built
) -> None:
    carried = {
        name.removeprefix("continual/")
        for name in artifact.verify(first.package).files
        if "continual/" in name
    }
    assert carried == {"model.safetensors", "memory.safetensors", "model.json"}
    assert not [name for name in artifact.verify(plain.package).files if "continual" in name]
    assert "reservoir" in summary(first.folder / "model")["memory"]
    assert len(Memory.load(first.package / "continual" / "memory.safetensors")) == 30
    package = Package(first.package)
    assert package.predict([package.golden()["request"]])


def test_a_run_goes_on_from_the_champion_and_its_card_says_so(first: Built, home: Path) -> None:
    built = build(
        home / "tabular" / "second", "second", config(start="champion", memory=30), "tabular"
    )
    base = read_base(built.features)
    assert base is not None
    assert (base.start, base.run) == ("champion", "first")
    assert base.version == Package(first.package).info.version
    told = summary(built.folder / "model")["starts_from"]
    assert base.version in told
    assert told in (built.package / "card.html").read_text()
    assert Memory.load(built.folder / "model" / "memory.safetensors").total == 2 * sum(
        Memory.load(first.folder / "model" / "memory.safetensors").seen.values()
    )
    losses = [
        summary(one.folder / "model")["curves"]["loss"]["validation"][0] for one in (first, built)
    ]
    assert losses[1] < 0.8 * losses[0]


@pytest.mark.parametrize("kind", ["package", "model", "run", "version", "uri"])
def test_a_package_a_model_a_run_a_version_and_a_uri_all_name_a_start(
    kind: str, first: Built, home: Path, tmp_path: Path
) -> None:
    if kind == "uri":
        fsspec.filesystem("memory").put(str(first.package), "/store/package", recursive=True)
    start = {
        "package": str(first.package),
        "model": str(first.folder / "model"),
        "run": "first",
        "version": "tabular@1",
        "uri": "memory://store/package",
    }[kind]
    found = brought(first, tmp_path / "features", start=start)
    assert (
        load_file(found / "base" / "model.safetensors").keys()
        == load_file(first.folder / "model" / "model.safetensors").keys()
    )
    assert (found / "base" / "memory.safetensors").read_bytes() == (
        first.package / "continual" / "memory.safetensors"
    ).read_bytes()
    assert summary(found)["notes"][0].startswith("Goes on from ")
    assert sorted(file.name for file in (found / "base").glob("*.json")) == [
        "base.json",
        "model.json",
    ]


def test_another_start_is_another_key_of_features_and_of_training(
    first: Built, plain: Built, tmp_path: Path
) -> None:
    keys = set()
    for number, start in enumerate((None, str(first.package), str(first.folder / "model"))):
        found = brought(plain, tmp_path / f"{number}", start=start)
        run = Run.of("tabular", config(start=start))
        manifest = artifact.read_manifest(found)
        keys.add((manifest.key, train.key(run, {"features": manifest})))
    assert len({one for pair in keys for one in pair}) == 6


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("plain", r"has no weights to start from.*continual\.keep=true"),
        ("features", r"is a features\. Give a package, or a model's folder"),
        ("nowhere", r"package 'nowhere' is unknown"),
        ("memory://nothing/here", r"no package or model is there"),
    ],
)
def test_what_cannot_be_gone_on_from_is_named_with_what_to_type(
    start: str, said: str, first: Built, plain: Built, tmp_path: Path
) -> None:
    given = {"plain": str(plain.package), "features": str(plain.features)}.get(start, start)
    with pytest.raises(UsageError, match=said):
        brought(plain, tmp_path / "features", start=given)


def test_another_familys_model_and_a_changed_one_are_refused(
    first: Built, plain: Built, tmp_path: Path
) -> None:
    line = Run.of(LINE, {"continual": {"start": str(first.package)}})
    with pytest.raises(UsageError, match=r"is of family 'tabular', and this run of 'tests\.toy"):
        features(line, dataset=plain.folder / "dataset", features=tmp_path / "features")
    shutil.copytree(first.package, tmp_path / "changed")
    with (tmp_path / "changed" / "continual" / "memory.safetensors").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(BrokenArtifact, match=r"continual/memory\.safetensors was changed"):
        brought(plain, tmp_path / "other", start=str(tmp_path / "changed"))


def test_a_kind_that_starts_anew_says_so_before_any_work(plain: Built, tmp_path: Path) -> None:
    values = {"model": {"kind": "lightgbm"}, "continual": {"memory": 5}}
    with pytest.raises(
        UsageError,
        match=r"section 'continual': model\.kind = lightgbm is always fitted from scratch",
    ):
        features(
            Run.of("tabular", values),
            dataset=plain.folder / "dataset",
            features=tmp_path / "features",
        )


def test_exemplars_of_a_model_that_the_loop_did_not_train_are_refused(
    tmp_path: Path, home: Path
) -> None:
    with pytest.raises(
        UsageError, match=r"continual\.memory: this model is not trained by the shared loop"
    ):
        build(tmp_path, "line", {"continual": {"memory": 5}}, LINE)


def test_the_champion_of_another_name_is_not_taken(
    first: Built, home: Path, tmp_path: Path
) -> None:
    run = Run.of("tabular", config(start="champion") | {"registry": {"name": "others"}})
    assert registry.champion("tabular") is not None
    features(run, dataset=first.folder / "dataset", features=tmp_path / "features")
    assert base_of(tmp_path / "features") is None


def test_two_processes_go_on_and_keep_exemplars_as_one_does(first: Built, tmp_path: Path) -> None:
    found = brought(first, tmp_path / "features", start=str(first.package), memory=30)
    for processes in (1, 2):
        values = config(start=str(first.package), memory=30)
        values["training"] = values["training"] | {"processes": processes}
        train(Run.of("tabular", values), features=found, model=tmp_path / f"{processes}")
    one, two = (tmp_path / "1", tmp_path / "2")
    assert (one / "memory.safetensors").read_bytes() == (two / "memory.safetensors").read_bytes()
    losses = [summary(folder)["curves"]["loss"]["validation"] for folder in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=0.2)
    assert "starts_from" in summary(two)
