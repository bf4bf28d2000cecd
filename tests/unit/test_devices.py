"""Where graphs compute. ONNX Runtime's CPU provider stands in for a GPU: what is chosen, refused,
bound and held is the same API; what CUDA itself does is for the tests that are marked `gpu`."""

from __future__ import annotations

import ctypes
import threading
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from modelyard.errors import Unavailable, UsageError
from modelyard.runtimes import bound, devices, pinned
from modelyard.runtimes.bound import BoundRuntime, Held
from modelyard.runtimes.devices import CPU_PLACE, ON_CPU, ON_CUDA, ON_TENSORRT, place_of
from modelyard.runtimes.onnx import OnnxRuntime
from modelyard.runtimes.types import hold

ALL = [ON_TENSORRT, ON_CUDA, ON_CPU]


@pytest.fixture
def running_sum() -> bytes:
    """A graph with a state, as a decoder has one: total = state + x, and y = 2 total."""
    shape = ["n", 3]
    nodes = [
        helper.make_node("Add", ["state", "x"], ["total"]),
        helper.make_node("Add", ["total", "total"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "running_sum",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("state", "x")],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("y", "total")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


@pytest.fixture
def works(monkeypatch) -> dict[str, str]:
    """Why each provider of a GPU does not compute here; empty: it does. All are built in."""
    problems = {ON_TENSORRT: "", ON_CUDA: ""}
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ALL)
    monkeypatch.setattr(devices, "refusal", lambda providers: problems[providers[0][0]])
    return problems


def numbers(rows: int, first: float = 0.0) -> np.ndarray:
    return np.arange(first, first + rows * 3, dtype=np.float32).reshape(rows, 3)


def test_tensorrt_comes_before_cuda_and_cuda_before_the_cpu(works, tmp_path):
    engines = tmp_path / "home" / "engines"
    best = place_of("auto", engines=engines)
    assert [name for name, _ in best.providers] == ALL
    assert str(best) == "cuda:0 by TensorRT"
    options = dict(best.providers)[ON_TENSORRT]
    assert options["trt_engine_cache_path"] == str(engines)
    assert engines.is_dir()
    works[ON_TENSORRT] = "libnvinfer.so.10: cannot open shared object file"
    second = place_of("cuda:1")
    assert [name for name, _ in second.providers] == [ON_CUDA, ON_CPU]
    assert second.providers[0][1]["device_id"] == "1"
    works[ON_CUDA] = "CUDA failure 100: no CUDA-capable device is detected"
    assert place_of("auto") is CPU_PLACE


def test_where_engines_cannot_be_kept_tensorrt_serves_all_the_same(works, tmp_path, caplog):
    (tmp_path / "file").touch()
    place = place_of("cuda", engines=tmp_path / "file" / "engines")
    assert place.name == "TensorRT"
    assert "trt_engine_cache_enable" not in dict(place.providers)[ON_TENSORRT]
    assert "Not a directory" in caplog.text


def test_a_gpu_that_was_asked_for_and_cannot_be_used_is_refused_with_each_reason(works):
    works |= {ON_TENSORRT: "no libnvinfer.so.10", ON_CUDA: "no CUDA-capable device is detected"}
    with pytest.raises(Unavailable) as caught:
        place_of("cuda")
    said = str(caught.value)
    assert "TensorRT: no libnvinfer.so.10; CUDA: no CUDA-capable device is detected" in said
    assert "--device cpu" in said
    assert "gpu.count" in said


def test_an_onnx_runtime_without_cuda_names_the_image_that_has_it():
    with pytest.raises(Unavailable, match=r"has no CUDA provider.*modelyard/server-cuda"):
        place_of("cuda:0")
    assert place_of("auto") is CPU_PLACE


@pytest.mark.parametrize("device", ["gpu", "cuda:first", "cpu:1", "auto:1", ""])
def test_an_unknown_device_is_refused(device):
    with pytest.raises(UsageError, match="Allowed: auto, cpu, cuda, cuda:N"):
        place_of(device)


@pytest.mark.parametrize(("worker", "gpu"), [(0, 0), (1, 1), (2, 0), (5, 1)])
def test_workers_take_the_visible_gpus_in_turn_unless_one_is_named(worker, gpu, works, monkeypatch):
    monkeypatch.setattr("modelyard.cost.meters.visible_gpus", lambda: ["GPU-a", "GPU-b"])
    assert place_of("cuda", worker=worker).number == gpu
    assert place_of("auto", worker=worker).number == gpu
    assert place_of("cuda:1", worker=worker).number == 1


def test_a_provider_counts_only_once_it_has_computed():
    assert devices.refusal([(ON_CPU, {})]) == ""
    # Built in or not: ONNX Runtime opens a session all the same, on the CPU.
    with pytest.warns(UserWarning, match="not in available provider names"):
        said = devices.refusal([(ON_CUDA, {})])
    assert "libonnxruntime_providers_cuda.so" in said


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_bound_graphs_give_what_unbound_ones_give(rows, running_sum):
    arrays = {"state": numbers(rows), "x": numbers(rows, 5.0)}
    plain = OnnxRuntime({"sum": running_sum}, 1)("sum", arrays)
    run = BoundRuntime({"sum": running_sum}, CPU_PLACE, 1)
    for _ in range(3):  # the second call fills the buffers of the first
        found = run("sum", arrays)
        assert {name: array.tolist() for name, array in found.items()} == {
            name: array.tolist() for name, array in plain.items()
        }
    turned = {"state": numbers(3)[::-1], "x": numbers(3).T.copy().T}
    assert (run("sum", turned)["total"] == turned["state"] + turned["x"]).all()


def test_an_answer_stays_as_it_is_when_the_next_call_has_the_same_shape(running_sum):
    run = BoundRuntime({"sum": running_sum}, CPU_PLACE, 1)
    zero = np.zeros((2, 3), np.float32)
    first = run("sum", {"state": zero, "x": numbers(2)})
    kept = first["y"].copy()
    run("sum", {"state": zero, "x": numbers(2, 100.0)})
    assert (first["y"] == kept).all()


def test_a_state_goes_from_call_to_call_without_leaving_the_device(running_sum, monkeypatch):
    run = BoundRuntime({"sum": running_sum}, CPU_PLACE, 1)
    copied: list[tuple[int, ...]] = []
    reads = Held.__array__

    def counted(self: Held, *arguments: object, **named: object) -> np.ndarray:
        copied.append(self.shape)
        return reads(self, *arguments, **named)

    monkeypatch.setattr(Held, "__array__", counted)
    state: object = np.zeros((2, 3), np.float32)
    for _ in range(4):
        out = hold(run, "sum", {"state": state, "x": numbers(2)}, {"total"})
        state = out["total"]
        assert isinstance(state, Held)
        assert isinstance(out["y"], np.ndarray)
    assert copied == []
    assert (out["y"] == 8 * numbers(2)).all()
    assert (np.asarray(state) == 4 * numbers(2)).all()
    assert copied == [(2, 3)]


def test_on_the_cpu_a_loop_is_given_arrays(running_sum):
    run = OnnxRuntime({"sum": running_sum}, 1)
    out = hold(run, "sum", {"state": numbers(1), "x": numbers(1)}, {"total"})
    assert isinstance(out["total"], np.ndarray)


def test_threads_that_call_at_once_have_buffers_of_their_own(running_sum):
    run = BoundRuntime({"sum": running_sum}, CPU_PLACE, 1)
    wrong: list[float] = []

    def ask(number: float) -> None:
        x = np.full((4, 3), number, np.float32)
        for _ in range(200):
            found = run("sum", {"state": x, "x": x})["total"]
            if not (found == 2 * number).all():
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(float(number),)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_buffers_of_shapes_that_come_no_more_are_let_go(running_sum, monkeypatch):
    monkeypatch.setattr(bound, "SHAPES", 2)
    run = BoundRuntime({"sum": running_sum}, CPU_PLACE, 1)
    for rows in (1, 2, 3, 1):
        run("sum", {"state": numbers(rows), "x": numbers(rows)})
    kept = run._buffers["sum"]._free
    assert [{name: shape for name, shape, _ in key}["x"] for key in kept] == [(3, 3), (1, 3)]


def test_memory_is_locked_for_the_gpu_and_released_with_the_array(monkeypatch):
    calls: list[tuple[str, int | None, int]] = []

    class Runtime:
        """Speaks as libcudart does."""

        def cudaHostRegister(  # noqa: N802 - the library's own name
            self, address: ctypes.c_void_p, size: ctypes.c_size_t, flags: int
        ) -> int:
            calls.append(("lock", address.value, size.value))
            return 0

        def cudaHostUnregister(self, address: ctypes.c_void_p) -> int:  # noqa: N802
            calls.append(("release", address.value, 0))
            return 0

    monkeypatch.setattr(pinned, "cuda_runtime", lambda: Runtime())
    array = pinned.locked((2, 3), np.dtype(np.float32))
    address = array.ctypes.data
    assert calls == [("lock", address, 24)]
    del array
    assert calls[1:] == [("release", address, 0)]
    assert pinned.locked((2, 0), np.dtype(np.float32)).shape == (2, 0)
    assert len(calls) == 2


def test_without_cuda_memory_is_plain(monkeypatch):
    monkeypatch.setattr(pinned, "cuda_runtime", lambda: None)
    assert pinned.locked((2,), np.dtype(np.int64)).shape == (2,)


@pytest.mark.gpu
@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_a_gpu_gives_what_the_cpu_gives_and_keeps_a_state(device, running_sum, tmp_path: Path):
    place = place_of(device, engines=tmp_path)
    run = BoundRuntime({"sum": running_sum}, place, 1)
    state: object = np.zeros((2, 3), np.float32)
    for _ in range(4):
        state = hold(run, "sum", {"state": state, "x": numbers(2)}, {"total"})["total"]
    assert np.asarray(state) == pytest.approx(4 * numbers(2))
