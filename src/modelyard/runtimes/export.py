"""From a graph to an ONNX file."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path

from modelyard.errors import BrokenArtifact
from modelyard.runtimes.types import Graph


def to_onnx(graph: Graph, file: Path, opset: int) -> None:
    """Writes the graph as ONNX; axis 0 of every input, and the graph's own dynamic axes, may vary.

    Raises:
        BrokenArtifact: torch cannot export the module: the cause in one line.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    if graph.onnx is not None:
        file.write_bytes(graph.onnx)
    else:
        _export_torch(graph, file, opset)


def _export_torch(graph: Graph, file: Path, opset: int) -> None:
    import torch

    assert graph.module is not None
    module = graph.module.eval().cpu()
    inputs = {name: torch.from_numpy(array) for name, array in graph.example.items()}
    axes = {
        name: dict.fromkeys((0, *graph.dynamic.get(name, ())), torch.export.Dim.AUTO)
        for name in inputs
    }
    with torch.no_grad():
        outputs = list(module(**inputs))
    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                (),
                kwargs=inputs,
                dynamic_shapes=axes,
                input_names=list(inputs),
                output_names=outputs,
                opset_version=opset,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
            assert program is not None
            program.save(str(file))
    except Exception as error:
        cause = str(error.__cause__ or error).strip().splitlines()[0]
        raise BrokenArtifact(f"graph {graph.name!r} cannot be exported to ONNX: {cause}") from error


@contextlib.contextmanager
def _quiet():  # type: ignore[no-untyped-def]
    """The exporter prints whole graphs; what matters of them is in the error."""
    level = logging.root.manager.disable
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(level)
