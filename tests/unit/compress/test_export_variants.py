"""What export makes, rejects and leaves out, on a family with weights enough to compress."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from modelyard.compress import recipes
from modelyard.errors import UsageError
from modelyard.family import load
from modelyard.packages.package import Package, PackageInfo, read_info
from modelyard.packages.trust import Trust
from modelyard.packages.variant import LeftOut, Variant
from modelyard.runtimes.opening import open_variant
from modelyard.settings.family import resolve
from tests.toy.build import LINE, build

NETWORK = "tests.toy.network:Network"
ROOT = Path(__file__).parents[3]
ENGINES = ("tensorrt-fp32", "tensorrt-fp16", "tensorrt-int8")
ALL = "onnx-fp16,onnx-int8,onnx-int8-static,onnx-int8-weights,onnx-int4"


def built(folder: Path, export: dict, outlier: float = 0.0) -> PackageInfo:
    config = {"export": {"latency_repeats": 5, **export}, "features": {"outlier": outlier}}
    return read_info(build(folder, "r", config, NETWORK).package)


def variant(info: PackageInfo, name: str) -> Variant:
    return next(one for one in info.variants if one.name == name)


def left_out(info: PackageInfo, name: str) -> LeftOut:
    return next(one for one in info.left_out if one.name == name)


@pytest.fixture(scope="module")
def everything(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("everything")
    built(folder, {"variants": ALL, "max_loss": 0.2})
    return folder / "package"


def test_every_variant_is_measured_judged_and_has_a_verdict(everything):
    info = read_info(everything)
    assert [one.name for one in info.variants] == ["native", "onnx-fp32", *ALL.split(",")]
    assert info.left_out == []
    for one in info.variants[1:]:
        assert one.verdict in ("chosen", "passed"), one.reason
        assert one.reason.startswith("latency: ")
        assert 0 < one.p50_ms <= one.p99_ms
        assert one.batch in (1, 8, 64)
        assert one.per_second >= 1e3 / one.p50_ms * 0.99
        assert one.change_interval[0] <= one.change <= one.change_interval[1]
    sizes = {one.name: one.bytes for one in info.variants}
    assert sizes["onnx-int4"] < sizes["onnx-int8-weights"] < sizes["onnx-fp16"]
    assert sizes["onnx-fp16"] < 0.52 * sizes["onnx-fp32"]
    assert sizes["onnx-int8"] < 0.3 * sizes["onnx-fp32"]


def test_variants_asked_for_by_name_are_all_in_the_package_and_answer(everything):
    package = Package(everything, trust=Trust().naming(NETWORK))
    body = package.golden()["request"]
    expected = package.predict([body])[0].y
    for one in package.info.variants[1:]:
        run = open_variant(everything / "graphs", one.name, one.graphs)
        (answer,) = package.host.predict(run, [package.parse(body)])
        assert answer.y == pytest.approx(expected, abs=0.4)


def test_by_default_the_package_holds_the_chosen_variant_and_full_precision(tmp_path):
    info = built(tmp_path, {"aim": "size"})
    held = {one.name for one in info.variants if one.graphs}
    assert info.chosen.name != "onnx-fp32"
    assert held == {info.chosen.name, "onnx-fp32"}
    files = {file.parent.name for file in (tmp_path / "package" / "graphs").rglob("*.onnx")}
    assert files == held


def test_int8_on_a_layer_that_cannot_bear_it_is_rejected_with_the_measured_loss(tmp_path):
    info = built(tmp_path, {"variants": "onnx-int8", "max_loss": 0.01}, outlier=150.0)
    bad = variant(info, "onnx-int8")
    assert bad.verdict == "rejected"
    assert bad.change > 0.01
    assert bad.reason.startswith(f"loses {bad.change:.4g} of mae (95 % interval ")
    assert bad.reason.endswith("allowed 0.01, export.max_loss")
    assert info.chosen.name == "onnx-fp32"
    assert not bad.graphs, "a rejected variant never goes into the package"


def test_a_variant_that_gives_noise_is_rejected_before_it_is_judged(tmp_path):
    info = built(tmp_path, {"variants": "onnx-int8"}, outlier=1e5)
    bad = left_out(info, "onnx-int8")
    assert bad.verdict == "rejected"
    assert "output 'y' differs from the trained model by" in bad.reason


def test_a_recipe_that_fails_leaves_out_its_own_variant_only(tmp_path, monkeypatch):
    def fails(*_):
        raise RuntimeError("No kernel\n for node (MatMul 'second')")

    monkeypatch.setattr(recipes.OnnxInt8, "make", fails)
    info = built(tmp_path, {"variants": "onnx-int8,onnx-fp16"})
    assert left_out(info, "onnx-int8") == LeftOut(
        name="onnx-int8", verdict="failed", reason="No kernel for node (MatMul 'second')"
    )
    assert variant(info, "onnx-fp16").rows == 300
    assert not (tmp_path / "graphs" / "onnx-int8").exists()


def test_a_file_that_does_not_open_is_left_out_with_what_the_runtime_says(tmp_path, monkeypatch):
    monkeypatch.setattr(
        recipes.OnnxInt8, "make", lambda self, source, file, task: file.write_bytes(b"not onnx")
    )
    info = built(tmp_path, {"variants": "onnx-int8"})
    assert left_out(info, "onnx-int8").verdict == "failed"
    assert "is not an ONNX model that runs here" in left_out(info, "onnx-int8").reason
    assert info.chosen.name == "onnx-fp32"


def test_no_recipe_is_begun_once_the_time_is_over(tmp_path):
    info = built(tmp_path, {"variants": "onnx-int8", "seconds": 1e-9})
    assert left_out(info, "onnx-int8").reason == "no time left: export.seconds = 1e-09"


def test_a_recipe_that_needs_more_memory_than_is_free_is_left_out(tmp_path, monkeypatch):
    from modelyard.compress import building

    monkeypatch.setattr(building, "memory_limit", lambda: 0)
    info = built(tmp_path, {"variants": "onnx-int8"})
    assert left_out(info, "onnx-int8").verdict == "refused"
    assert left_out(info, "onnx-int8").reason.startswith(
        "it needs about 0.0032 GB of memory, and 0 GB"
    )


def test_small_graphs_are_not_compressed_unless_asked_and_say_why(tmp_path):
    info = read_info(build(tmp_path, "r", {}, LINE).package)
    reasons = {one.name: one.reason for one in info.left_out}
    assert set(reasons) == {*ALL.split(","), "onnx-int8-aware", *ENGINES}
    assert reasons["onnx-int8"] == "0 kB of weights: too few to gain by fewer bits"
    assert reasons["onnx-int4"] == "no weights in MatMul that may be quantized"


def test_the_choice_never_looks_at_the_test_split(tmp_path, monkeypatch):
    from modelyard.stages.export import export
    from tests.toy.network import NetworkFamily

    made = build(tmp_path, "r", {"export": {"latency_repeats": 5}}, NETWORK)
    splits = []
    whole, asked = NetworkFamily.evaluate, NetworkFamily.requests

    def evaluate(self, host, run, features, split="test"):
        splits.append(split)
        return whole(self, host, run, features, split)

    def requests(self, features, split, limit=None):
        splits.append(split)
        return asked(self, features, split, limit)

    monkeypatch.setattr(NetworkFamily, "evaluate", evaluate)
    monkeypatch.setattr(NetworkFamily, "requests", requests)
    export(
        made.run, features=made.features, model=tmp_path / "model", graphs=tmp_path / "graphs-again"
    )
    assert set(splits) <= {"train", "validation"}
    assert "validation" in splits


def test_static_int8_is_calibrated_on_training_requests_only(tmp_path, monkeypatch):
    from tests.toy.network import NetworkFamily

    seen = []
    asked = NetworkFamily.requests

    def requests(self, features, split, limit=None):
        seen.append(split)
        return asked(self, features, split, limit)

    monkeypatch.setattr(NetworkFamily, "requests", requests)
    built(tmp_path, {"variants": "onnx-int8-static", "calibration": "percentile"})
    assert seen.count("train") == 1


def test_the_family_says_which_operators_may_be_quantized(tmp_path, monkeypatch):
    from tests.toy.network import NetworkFamily

    monkeypatch.setattr(NetworkFamily, "quantized", frozenset({"Conv"}))
    info = built(tmp_path, {"variants": "onnx-int8,onnx-int8-static,onnx-int4"})
    for name in ("onnx-int8", "onnx-int8-static", "onnx-int4"):
        assert left_out(info, name).verdict == "refused"
        assert "that may be quantized" in left_out(info, name).reason


def test_a_variant_that_does_not_exist_is_refused_with_those_that_do():
    config = load(NETWORK).Config
    with pytest.raises(UsageError, match=r"export\.variants.*'onnx-int7'.*'onnx-int8'"):
        resolve(config, ("--set", {"export": {"variants": "onnx-int7"}}))
    with pytest.raises(UsageError, match=r"export\.aim"):
        resolve(config, ("--set", {"export": {"aim": "beauty"}}))


def test_the_card_shows_every_variant_with_its_verdict_and_a_plot(everything):
    page = (everything / "card.html").read_text()
    for one in read_info(everything).variants[1:]:
        assert one.name in page
        assert one.reason in page
    assert "Latency against quality" in page
    assert "Chosen for latency" in page


def test_bootstrap_samples_of_two_models_are_of_the_same_rows():
    from modelyard.kit.intervals import resample

    rng = np.random.default_rng(0)
    y = rng.normal(size=400)
    one, other = (y + rng.normal(size=400) for _ in range(2))

    def mean_error(truth, answer):
        return float(np.abs(truth - answer).mean())

    together = resample(mean_error, y, one, other)
    apart = [resample(mean_error, y, answer).paired() for answer in (one, other)]
    assert np.allclose(together.samples.T * together.shrink, apart)


def test_variants_json_holds_what_the_package_says(everything):
    written = json.loads((everything / "package.json").read_text())
    assert written["choice"] == {
        "aim": "latency",
        "max_loss": 0.2,
        "max_loss_of": "export.max_loss",
    }


def test_quantizers_leave_logging_as_it_was(everything):
    import logging

    from modelyard.compress import quantize

    before = list(logging.root.handlers)
    source = everything / "graphs" / "onnx-fp32" / "network.onnx"
    for name in [name for name in sys.modules if name.endswith("matmul_nbits_quantizer")]:
        del sys.modules[name]
    logging.root.handlers.clear()
    quantize.to_few_bits(source, everything.parent / "again.onnx", 4)
    found = list(logging.root.handlers)
    logging.root.handlers[:] = before
    assert found == []


def test_quantizers_are_imported_by_recipes_that_run_only(tmp_path):
    """A run whose graphs are small, and a service, import none of them."""
    code = (
        "import sys; from pathlib import Path; from tests.toy.build import LINE, build\n"
        "from modelyard.packages.package import Package\n"
        "from modelyard.packages.trust import Trust\n"
        f"made = build(Path({str(tmp_path)!r}), 'r', {{}}, LINE)\n"
        "Package(made.package, trust=Trust().naming(LINE))\n"
        "print([name for name in sys.modules if 'quantiz' in name or 'compress.engines' in name])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert found.stdout.splitlines()[-1] == "[]"


def test_stages_are_imported_without_onnx():
    code = "import sys, modelyard.stages; print({'onnx', 'onnxruntime'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
