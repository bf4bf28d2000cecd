"""`modelyard export PACKAGE --variant`: whole or not at all, and judged again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from modelyard.cli.app import app
from modelyard.compress import recipes
from modelyard.errors import GateFailed, UsageError
from modelyard.packages.package import Package, read_info, verify
from modelyard.packages.trust import FAMILIES, Trust
from modelyard.stages.further import add_variants
from modelyard.stages.run import Run
from modelyard.store import artifact
from tests.toy.build import Built, build

NETWORK = "tests.toy.network:Network"
TRUSTED = Trust().naming(NETWORK)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Built:
    """A package with full precision only."""
    folder = tmp_path_factory.mktemp("further")
    export = {"variants": "onnx-fp32", "latency_repeats": 5, "max_loss": 0.5}
    return build(folder, "r", {"export": export}, NETWORK)


@pytest.fixture
def package(made, tmp_path) -> Path:
    """A copy to change."""
    place = tmp_path / "package"
    shutil.copytree(made.package, place)
    return place


def further(made: Built, package: Path, into: Path | None = None, **export) -> Path:
    settings = read_info(package).config
    settings["export"] |= export
    run = Run.of(NETWORK, settings, id="r")
    add_variants(run, verify(package, TRUSTED), made.features, into or package)
    return into or package


def content(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_a_further_variant_is_made_judged_and_chosen(made, package):
    before = read_info(package)
    further(made, package, variants=["onnx-int8"], aim="size")
    after = Package(package, trust=TRUSTED)
    assert after.info.chosen.name == "onnx-int8" == after.variant.name
    assert {one.name for one in after.info.variants} == {"native", "onnx-fp32", "onnx-int8"}
    assert after.info.choice.aim == "size"
    assert after.info.version != before.version
    assert after.manifest.lineage.keys() > verify(made.package, TRUSTED).manifest.lineage.keys()
    golden = after.golden()
    (answer,) = after.predict([golden["request"]])
    assert answer.y == pytest.approx(golden["response"]["y"], abs=1e-5)
    assert after.evaluation().metrics["mae"] == after.info.metrics["mae"] != before.metrics["mae"]
    assert "onnx-int8" in (package / "card.html").read_text()


def test_figures_of_all_that_it_holds_are_measured_again_but_the_trained_models(made, package):
    before = {one.name: one for one in read_info(package).variants}
    further(made, package, variants=["onnx-fp16"])
    after = {one.name: one for one in read_info(package).variants}
    assert after["native"] == before["native"]
    assert after["onnx-fp32"].p99_ms != before["onnx-fp32"].p99_ms
    assert after["onnx-fp32"].metric == before["onnx-fp32"].metric


def test_a_further_variant_that_loses_too_much_is_rejected_and_not_packed(made, package):
    further(made, package, variants=["onnx-int4"], max_loss=1e-9, aim="size")
    info = read_info(package)
    bad = next(one for one in info.variants if one.name == "onnx-int4")
    assert bad.rejected
    assert not bad.graphs
    assert info.chosen.name == "onnx-fp32"
    assert not (package / "graphs" / "onnx-int4").exists()
    verify(package, TRUSTED)


def test_variants_of_an_earlier_call_stay(made, package):
    further(made, package, variants=["onnx-int8"], aim="size")
    further(made, package, variants=["onnx-fp16"], aim="size")
    info = read_info(package)
    assert {one.name for one in info.variants if one.graphs} == {
        "onnx-fp32",
        "onnx-int8",
        "onnx-fp16",
    }
    assert info.chosen.name == "onnx-int8"


def test_a_package_that_cannot_be_finished_is_left_as_it_was(made, package, monkeypatch):
    before = content(package)
    monkeypatch.setattr(artifact, "seal", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        further(made, package, variants=["onnx-int8"])
    assert content(package) == before
    assert [one.name for one in package.parent.iterdir()] == ["package"]


def test_a_variant_that_misses_the_gate_changes_nothing(made, package):
    before = content(package)
    settings = read_info(package).config
    settings["export"] |= {"variants": ["onnx-int8"], "aim": "size"}
    settings["gate"]["threshold"] = 1e-6
    run = Run.of(NETWORK, settings, id="r")
    with pytest.raises(GateFailed, match="gate not met by onnx-int8"):
        add_variants(run, verify(package, TRUSTED), made.features, package)
    assert content(package) == before


def test_features_of_another_run_are_refused(made, package, tmp_path):
    other = build(tmp_path / "other", "s", {"seed": 5, "export": {"latency_repeats": 5}}, NETWORK)
    with pytest.raises(UsageError, match="is not what .* was made from"):
        further(other, package, variants=["onnx-int8"])


def test_a_recipe_that_fails_is_named_and_changes_no_other_variant(made, package, monkeypatch):
    def fails(*_):
        raise RuntimeError("node 'second' has no kernel")

    monkeypatch.setattr(recipes.OnnxInt8, "make", fails)
    further(made, package, variants=["onnx-int8"])
    info = read_info(package)
    assert [(one.name, one.reason) for one in info.left_out if one.verdict == "failed"] == [
        ("onnx-int8", "node 'second' has no kernel")
    ]
    assert info.chosen.name == "onnx-fp32"


def test_the_command_adds_a_variant_to_a_packages_folder(made, monkeypatch, tmp_path):
    monkeypatch.setenv(FAMILIES, NETWORK)
    place = tmp_path / "bigger"
    arguments = ["export", str(made.package), "--variant", "onnx-int8", "--into", str(place)]
    result = CliRunner().invoke(app, [*arguments, "--set", "export.aim=size"])
    assert result.exit_code == 0, result.output
    assert read_info(place).chosen.name == "onnx-int8"
    assert read_info(made.package).chosen.name == "onnx-fp32"
    assert "onnx-int8 serves" in result.output


def test_the_command_says_what_it_needs(made, monkeypatch):
    monkeypatch.setenv(FAMILIES, NETWORK)
    result = CliRunner().invoke(app, ["export", "tabular", "--features", "f"])
    assert isinstance(result.exception, UsageError)
    assert str(result.exception).startswith("export needs --model, --graphs")
    wrong = ["export", str(made.package), "--variant", "onnx-int8", "--set", "model.x=1"]
    result = CliRunner().invoke(app, wrong)
    assert str(result.exception) == ("--set model: of a finished package only export.… can be set")
    result = CliRunner().invoke(app, ["export", str(made.package), "--variant", "onnx-int7"])
    assert "onnx-int7" in str(result.exception)


def test_the_package_that_was_extended_records_its_settings(made, package):
    further(made, package, variants=["onnx-int8"], aim="size")
    written = json.loads((package / "package.json").read_text())["config"]["export"]
    assert (written["aim"], written["variants"]) == ("size", ["onnx-int8"])
