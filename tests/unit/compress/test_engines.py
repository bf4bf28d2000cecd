"""TensorRT engines, as far as that goes without a GPU: shapes, keys, refusals, the file, and what
serves elsewhere. A stand-in records how TensorRT's API is called."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from enum import IntEnum
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import onnx
import pytest

from modelyard.compress.profiles import Range, ranges_of
from modelyard.packages.package import INFO, Package
from modelyard.packages.trust import Trust
from modelyard.runtimes.external import external_data
from modelyard.runtimes.gpu import BuiltFor, this_machine
from modelyard.store import artifact
from tests.toy.build import build

NETWORK = "tests.toy.network:Network"
HERE = BuiltFor(gpu="NVIDIA H200", capability="9.0", driver="580.65.06", tensorrt="11.4.0")


class Flag(IntEnum):
    STRONGLY_TYPED = 1


class Pool(IntEnum):
    WORKSPACE = 0


class StandIn(ModuleType):
    """Records calls, and gives an engine or the errors of a parser."""

    NetworkDefinitionCreationFlag, MemoryPoolType = Flag, Pool

    def __init__(self, errors=()):
        super().__init__("tensorrt")
        self.shapes, self.flags, self.builds, self.timings = {}, [], 0, []
        self.errors = errors
        self.Logger = type("Logger", (), {"ERROR": 1, "__init__": lambda self, level: None})
        self.Builder = lambda logger: self
        self.OnnxParser = lambda network, logger: self

    def create_network(self, flags):
        self.flags.append(flags)
        return SimpleNamespace()

    num_errors = property(lambda self: len(self.errors))

    def parse_from_file(self, path):
        onnx.checker.check_model(onnx.load(path))
        return not self.errors

    def get_error(self, number):
        return self.errors[number]

    def create_builder_config(self):
        config = SimpleNamespace(limits={}, profiles=[])
        config.set_memory_pool_limit = config.limits.__setitem__
        config.add_optimization_profile = config.profiles.append
        config.create_timing_cache = lambda known: self.timings.append(known)
        config.set_timing_cache = lambda cache, ignore_mismatch: True
        config.get_timing_cache = lambda: SimpleNamespace(serialize=lambda: b"measured")
        return config

    def create_optimization_profile(self):
        def set_shape(name, least, usual, most):
            self.shapes[name] = (least, usual, most)

        return SimpleNamespace(set_shape=set_shape)

    def build_serialized_network(self, network, config):
        self.builds += 1
        return b"engine" + bytes([self.builds])


@pytest.fixture
def tensorrt(monkeypatch):
    """The stand-in, and the module that builds with it."""

    def install(errors=()):
        stand_in = StandIn(errors)
        monkeypatch.setitem(sys.modules, "tensorrt", stand_in)
        monkeypatch.delitem(sys.modules, "modelyard.compress.engines", raising=False)
        return stand_in, importlib.import_module("modelyard.compress.engines")

    yield install
    sys.modules.pop("modelyard.compress.engines", None)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("engines")
    config = {"export": {"variants": "onnx-fp32", "latency_repeats": 5}}
    return build(folder, "r", config, NETWORK)


@pytest.fixture
def source(made) -> Path:
    return made.package / "graphs" / "onnx-fp32" / "network.onnx"


def calls(*shapes: tuple[int, ...]) -> list[dict[str, np.ndarray]]:
    return [{"ids": np.zeros(shape, np.int64)} for shape in shapes]


def test_shapes_come_from_the_family_or_from_training_requests():
    inputs = {"ids": (None, None), "mask": (None, 4)}
    seen = [call | {"mask": np.zeros((1, 4))} for call in calls((1, 7), (1, 20), (1, 9))]
    assert ranges_of(inputs, seen, {})["ids"] == Range((1, 7), (8, 9), (64, 40))
    assert ranges_of(inputs, seen, {})["mask"] == Range((1, 4), (8, 4), (64, 4))
    declared = ranges_of(inputs, seen, {"ids": (1, 512)})
    assert declared["ids"] == Range((1, 1), (8, 9), (64, 512))
    assert ranges_of({"past": (None, 2, None)}, [], {"past": (0, 100)})["past"] == Range(
        (1, 2, 0), (8, 2, 50), (64, 2, 100)
    )
    with pytest.raises(ValueError, match=r"axis 1 of input 'ids' varies.*Set Family\.lengths"):
        ranges_of({"ids": (None, None)}, [], {})


def test_an_engine_is_written_as_onnx_for_the_provider_and_built_once(tensorrt, source, tmp_path):
    stand_in, engines = tensorrt()
    shapes = {"x": Range((1, 8), (8, 8), (64, 8))}
    file = tmp_path / "engine" / "network.onnx"
    engines.build(source, file, shapes, HERE, tmp_path / "cache")
    engines.build(source, file, shapes, HERE, tmp_path / "cache")
    assert stand_in.builds == 1
    assert stand_in.flags == [1 << Flag.STRONGLY_TYPED]
    assert stand_in.shapes == {"x": ((1, 8), (8, 8), (64, 8))}
    (node,) = onnx.load(file).graph.node
    held = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    assert (node.op_type, node.domain) == ("EPContext", "com.microsoft")
    assert held["ep_cache_context"] == b"engine\x01"
    assert (held["embed_mode"], held["hardware_architecture"]) == (1, b"90")
    assert (list(node.input), list(node.output)) == (["x"], ["y"])
    assert list(external_data(file)) == [], "a package's graph names no file elsewhere"


def test_what_was_measured_for_one_engine_serves_the_next(tensorrt, source, tmp_path):
    stand_in, engines = tensorrt()
    for most in (64, 128):
        shapes = {"x": Range((1, 8), (8, 8), (most, 8))}
        engines.build(source, tmp_path / "e.onnx", shapes, HERE, tmp_path / "cache")
    assert stand_in.builds == 2
    assert stand_in.timings == [b"", b"measured"]


@pytest.mark.parametrize(
    "field",
    [{"gpu": "NVIDIA L4"}, {"driver": "590.1"}, {"tensorrt": "12.0"}, {"capability": "8.9"}],
)
def test_another_machine_another_key(tensorrt, source, field):
    _, engines = tensorrt()
    shapes = {"x": Range((1, 8), (8, 8), (64, 8))}
    other = HERE.model_copy(update=field)
    assert engines.cache_key(source, shapes, HERE) != engines.cache_key(source, shapes, other)
    assert engines.timing_key(HERE) != engines.timing_key(other)


def test_what_tensorrt_cannot_parse_is_named_with_its_operator(tensorrt, source, tmp_path):
    error = SimpleNamespace(
        node_name=lambda: "second", node_operator=lambda: "MatMul", desc=lambda: "no importer"
    )
    _, engines = tensorrt([error])
    with pytest.raises(RuntimeError, match=r"node 'second' \(MatMul\): no importer"):
        engines.build(source, tmp_path / "e.onnx", {}, HERE, tmp_path / "cache")
    assert not (tmp_path / "e.onnx").exists()


def test_an_engine_runs_on_its_own_gpu_and_tensorrt_only():
    newer = HERE.model_copy(update={"driver": "580.95.01"})
    assert HERE.difference(HERE) == HERE.difference(newer) == ""
    assert (
        newer.difference(HERE)
        == "it is built with driver 580.95.01, and here is the older 580.65.06"
    )
    other = HERE.model_copy(update={"gpu": "NVIDIA L4", "capability": "8.9"})
    assert HERE.difference(other) == "it is built for NVIDIA H200, and here is NVIDIA L4"
    assert "TensorRT 11.4.0" in HERE.difference(None)
    assert "12.0" in HERE.difference(HERE.model_copy(update={"tensorrt": "12.0"}))


def test_the_machine_is_described_by_its_driver():
    nvml = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda number: number,
        nvmlDeviceGetCudaComputeCapability=lambda handle: (9, 0),
        nvmlDeviceGetName=lambda handle: "NVIDIA H200",
        nvmlSystemGetDriverVersion=lambda: "580.65.06",
    )
    assert this_machine(nvml, "11.4.0") == HERE

    def missing():
        raise RuntimeError("NVML Shared Library Not Found")

    assert this_machine(SimpleNamespace(nvmlInit=missing), "11.4.0") is None


def test_an_engine_for_another_gpu_is_passed_over_and_named(made, source, tensorrt, tmp_path):
    _, engines = tensorrt()
    place = tmp_path / "package"
    shutil.copytree(made.package, place)
    file = place / "graphs" / "tensorrt-fp16" / "network.onnx"
    engines.write_context(source, file, b"engine", HERE)
    info = json.loads((place / INFO).read_text())
    engine = dict(next(one for one in info["variants"] if one["name"] == "onnx-fp32"))
    for one in info["variants"]:
        one["chosen"] = False
    engine |= {"name": "tensorrt-fp16", "graphs": {"network": "tensorrt-fp16/network.onnx"}}
    engine |= {"chosen": True, "built_for": HERE.model_dump()}
    info["variants"].append(engine)
    (place / INFO).write_text(json.dumps(info))
    manifest = artifact.read_manifest(place)
    artifact.seal(place, artifact.Origin(**manifest.model_dump()), [])
    package = Package(place, trust=Trust().naming(NETWORK))
    assert package.variant.name == "onnx-fp32"
    assert package.passed_over == {
        "tensorrt-fp16": "variant tensorrt-fp16: it is built for NVIDIA H200 with TensorRT 11.4.0, "
        "and here is neither"
    }
