"""A booster of XGBoost serves from its own file: a variant beside the ONNX graph."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from modelyard.compress import timing
from modelyard.errors import BrokenArtifact, UsageError
from modelyard.families.tabular.kinds import GRAPH, INPUT
from modelyard.families.tabular.native import native_runtime
from modelyard.packages.package import INFO, Package, read_info, verify
from modelyard.packages.trust import Trust
from modelyard.runtimes.boosters import XgboostRuntime
from modelyard.store import artifact
from tests.toy.build import Built, build

pytestmark = pytest.mark.usefixtures("one_thread")

TRUSTED = Trust().naming("tabular")
FILE = Path("graphs") / "xgboost" / "model.ubj"


def config(kind: str, sample: str, variants: str = "auto", aim: str = "throughput") -> dict:
    return {
        "model": {"kind": kind, "trees": 20, "max_leaves": 6, "refit": "off"},
        "features": {"sample": sample},
        "export": {"variants": variants, "aim": aim, "latency_repeats": 5},
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Built:
    settings = config("xgboost", "breast_cancer", "xgboost")
    return build(tmp_path_factory.mktemp("boosted"), "r", settings, "tabular")


@pytest.fixture
def chosen(made: Built, tmp_path: Path) -> Path:
    """The package, with the booster's own file as the one that serves."""
    package = tmp_path / "package"
    shutil.copytree(made.package, package)
    info = json.loads((package / INFO).read_text())
    for variant in info["variants"]:
        variant["chosen"] = variant["name"] == "xgboost"
    (package / INFO).write_text(json.dumps(info))
    seal(package)
    return package


def seal(package: Path) -> None:
    """The manifest of what the folder holds now: as if it had been made so."""
    artifact.seal(package, artifact.Origin(**artifact.read_manifest(package).model_dump()), [])


def names(package: Path) -> set[str]:
    info = read_info(package)
    return {one.name for one in (*info.variants, *info.left_out)}


def test_where_throughput_counts_it_is_measured_in_batches_of_the_services_size(
    tmp_path, monkeypatch
):
    measured = {}

    def time_variants(*arguments):
        measured.update(timing.time_variants(*arguments))
        return measured

    monkeypatch.setattr("modelyard.stages.variants.time_variants", time_variants)
    run = build(tmp_path, "r", config("xgboost", "breast_cancer"), "tabular")
    info = read_info(run.package)
    (found,) = [one for one in info.variants if one.name == "xgboost"]
    assert found.verdict in ("chosen", "passed")
    assert found.max_difference == 0
    assert found.change == 0
    assert 256 in measured["xgboost"].batches


def test_it_answers_as_the_trained_model_does_to_the_last_bit(chosen: Path, made: Built):
    package = Package(chosen, trust=TRUSTED)
    assert package.variant.name == "xgboost"
    assert package.passed_over == {}
    golden = package.golden()
    (answer,) = package.predict([golden["request"]])
    assert answer.model_dump(mode="json")["label"] == golden["response"]["label"]
    rows = np.random.default_rng(0).normal(size=(1_000, 30)).astype(np.float32)
    expected = native_runtime(made.folder / "model")(GRAPH, {INPUT: rows})
    found = package.run(GRAPH, {INPUT: rows})
    assert found.keys() == expected.keys()
    np.testing.assert_array_equal(found["probabilities"], expected["probabilities"])


@pytest.mark.parametrize(
    ("sample", "output", "shape"),
    [("fraud", "probabilities", (None, 2)), ("diabetes", "value", (None,))],
)
def test_two_classes_and_a_number(tmp_path, sample, output, shape):
    run = build(tmp_path, "r", config("xgboost", sample, "xgboost"), "tabular")
    runtime = XgboostRuntime({GRAPH: run.package / FILE})
    takes, gives = runtime.signature(GRAPH)
    assert (gives[0].name, gives[0].shape) == (output, shape)
    rows = np.random.default_rng(0).normal(size=(50, takes[0].shape[1])).astype(np.float32)
    expected = native_runtime(tmp_path / "model")(GRAPH, {takes[0].name: rows})[output]
    np.testing.assert_array_equal(runtime(GRAPH, {takes[0].name: rows})[output], expected)
    assert expected.dtype == np.float32


def test_where_single_rows_count_it_is_tried_by_name_only(tmp_path):
    run = build(tmp_path, "r", config("xgboost", "breast_cancer", aim="latency"), "tabular")
    (doubted,) = [one for one in read_info(run.package).left_out if one.name == "xgboost"]
    assert doubted.verdict == "refused"
    assert doubted.reason.endswith("export.aim=throughput")


def test_of_other_kinds_only_who_names_it_hears_of_it(tmp_path):
    (tmp_path / "named").mkdir()
    (tmp_path / "auto").mkdir()
    named = build(tmp_path / "named", "r", config("tree", "breast_cancer", "xgboost"), "tabular")
    (refused,) = [one for one in read_info(named.package).left_out if one.name == "xgboost"]
    assert "model.kind=xgboost" in refused.reason
    assert "xgboost" not in names(
        build(tmp_path / "auto", "r", config("tree", "breast_cancer"), "tabular").package
    )


def test_a_server_without_xgboost_serves_onnx_and_says_so(chosen, monkeypatch):
    monkeypatch.setitem(sys.modules, "xgboost", None)
    package = Package(chosen, trust=TRUSTED)
    assert package.variant.name == "onnx-fp32"
    assert "needs XGBoost, which is not here" in package.passed_over["xgboost"]
    golden = package.golden()
    assert package.predict([golden["request"]])[0].label == golden["response"]["label"]


@pytest.mark.parametrize("content", [b"", b"no booster", None])
def test_a_file_that_is_no_booster_is_passed_over(chosen, content):
    good = (chosen / FILE).read_bytes()
    (chosen / FILE).write_bytes(good[: len(good) // 2] if content is None else content)
    seal(chosen)
    package = Package(chosen, trust=TRUSTED)
    assert package.variant.name == "onnx-fp32"
    assert "is not a booster of XGBoost" in package.passed_over["xgboost"]


def test_a_booster_that_does_not_say_what_it_takes_is_passed_over(chosen):
    import xgboost

    booster = xgboost.Booster(model_file=chosen / FILE)
    booster.set_attr(takes=None)
    booster.save_model(chosen / FILE)
    seal(chosen)
    package = Package(chosen, trust=TRUSTED)
    assert "does not say what its graph takes" in package.passed_over["xgboost"]


def test_a_call_of_another_shape_or_graph_is_refused(chosen):
    run = Package(chosen, trust=TRUSTED).run
    with pytest.raises(UsageError, match=r"must be \(rows, 30\); seen \(4, 29\)"):
        run(GRAPH, {INPUT: np.zeros((4, 29), np.float32)})
    with pytest.raises(UsageError, match="takes 'features' only; seen: rows"):
        run(GRAPH, {"rows": np.zeros((4, 30), np.float32)})
    with pytest.raises(UsageError, match="graph 'other'"):
        run("other", {INPUT: np.zeros((4, 30), np.float32)})


def test_only_files_that_xgboost_opens_go_without_the_look_at_what_onnx_names(chosen):
    """A graph that names a file outside is refused whatever its own file is called."""
    import onnx

    place = chosen / "graphs" / "onnx-fp32"
    model = onnx.load(place / "model.onnx")
    tensor = onnx.TensorProto(name="outside", data_type=1, dims=[1], data_location=1)
    tensor.external_data.add(key="location", value="../../../secret")
    model.graph.initializer.append(tensor)
    (place / "model.onnx").unlink()
    (place / "model.ubj").write_bytes(model.SerializeToString())
    text = (chosen / INFO).read_text().replace("onnx-fp32/model.onnx", "onnx-fp32/model.ubj")
    (chosen / INFO).write_text(text)
    seal(chosen)
    with pytest.raises(BrokenArtifact, match="its external data"):
        verify(chosen, TRUSTED)
