"""TensorRT engines from ONNX files, by TensorRT's own API. Imported where one is built; the file
that comes of it is opened by ONNX Runtime's TensorRT provider, so that serving needs no other
runtime.

https://docs.nvidia.com/deeplearning/tensorrt/latest/_static/python-api/
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import tensorrt as trt
from onnx import helper

from modelyard.compress.profiles import Range
from modelyard.runtimes.gpu import BuiltFor

WORKSPACE = 4 * 2**30
"""Bytes that TensorRT may use while it builds."""
MOST = 2**31 - 2**20
"""Bytes of an engine that fit in an ONNX file."""


def build(
    source: Path, file: Path, ranges: Mapping[str, Range], built_for: BuiltFor, cache: Path
) -> None:
    """Builds the engine of an ONNX file and writes it to `file`, as ONNX with one EPContext node.

    The network is strongly typed: it computes in the precisions that the ONNX file states.

    Args:
        cache: folder of engines and of what TensorRT measured; an engine with the same key is taken
            from there.

    Raises:
        RuntimeError: TensorRT cannot parse or build it: its own words, with the operator's name.
    """
    cache.mkdir(parents=True, exist_ok=True)
    known = cache / f"{cache_key(source, ranges, built_for)}.engine"
    if not known.is_file():
        timings = cache / f"{timing_key(built_for)}.timing"
        engine = _built(source, ranges, timings)
        # Killed while it writes it must not leave half an engine under the key.
        waiting = known.with_suffix(".part")
        waiting.write_bytes(engine)
        waiting.replace(known)
    write_context(source, file, known.read_bytes(), built_for)


def cache_key(source: Path, ranges: Mapping[str, Range], built_for: BuiltFor) -> str:
    """What an engine follows from: the graph, its shapes, the GPU, driver and TensorRT."""
    content = hashlib.sha256(source.read_bytes())
    content.update(repr(sorted(ranges.items())).encode())
    content.update(built_for.model_dump_json().encode())
    return content.hexdigest()[:32]


def timing_key(built_for: BuiltFor) -> str:
    """What TensorRT's measurements of kernels hold for, whatever the graph."""
    return hashlib.sha256(built_for.model_dump_json().encode()).hexdigest()[:32]


def _built(source: Path, ranges: Mapping[str, Range], timings: Path) -> bytes:
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(source)):
        raise RuntimeError(_said(parser))
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE)
    profile = builder.create_optimization_profile()
    for name, shapes in ranges.items():
        profile.set_shape(name, shapes.least, shapes.usual, shapes.most)
    config.add_optimization_profile(profile)
    known = timings.read_bytes() if timings.is_file() else b""
    config.set_timing_cache(config.create_timing_cache(known), ignore_mismatch=False)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise RuntimeError("TensorRT builds no engine of it: its log says why")
    timings.write_bytes(bytes(config.get_timing_cache().serialize()))
    return bytes(engine)


def _said(parser: Any) -> str:
    """The parser's errors, with the operators that they are about."""
    found = []
    for number in range(parser.num_errors):
        error = parser.get_error(number)
        found.append(f"node {error.node_name()!r} ({error.node_operator()}): {error.desc()}")
    return "; ".join(found) or "TensorRT does not parse it"


def write_context(source: Path, file: Path, engine: bytes, built_for: BuiltFor) -> None:
    """The engine as an ONNX file with the inputs and outputs of its source, which ONNX Runtime's
    TensorRT provider opens (https://onnxruntime.ai/docs/execution-providers/EP-Context-Design.html).

    Raises:
        RuntimeError: it is too large for an ONNX file.
    """
    if len(engine) > MOST:
        raise RuntimeError(f"the engine has {len(engine):,} bytes; an ONNX file holds {MOST:,}")
    graph = onnx.load(str(source), load_external_data=False).graph
    node = helper.make_node(
        "EPContext",
        [value.name for value in graph.input],
        [value.name for value in graph.output],
        name="engine",
        domain="com.microsoft",
        main_context=1,
        embed_mode=1,
        ep_cache_context=engine,
        hardware_architecture=built_for.capability.replace(".", ""),
        ep_sdk_version=built_for.tensorrt,
        source="TensorrtExecutionProvider",
    )
    wrapped = helper.make_graph([node], graph.name, list(graph.input), list(graph.output))
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(wrapped, opset_imports=opsets, ir_version=10)
    file.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(file))
