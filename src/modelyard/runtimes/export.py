"""From a graph to an ONNX file."""

from __future__ import annotations

import contextlib
import io
import logging
import re
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
    inputs, axes = {}, {}
    for name, array in graph.example.items():
        inputs[name] = torch.from_numpy(array)
        varying = (0, *graph.dynamic.get(name, ()))
        axes[name] = dict.fromkeys(varying, torch.export.Dim.AUTO)
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
        raise BrokenArtifact(
            f"graph {graph.name!r} cannot be exported to ONNX: {cause_of(error)}"
        ) from error


_OPERATOR = re.compile(r"op='(?P<op>[\w.:]+)'|torch\.ops\.(?P<call>[\w.]+)")
_PLACE = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in forward')


def cause_of(error: BaseException) -> str:
    """What stopped the exporter, in one line: the first cause's words, the operator, and the line
    of the module's code where the exporter gives it."""
    texts = []
    found: BaseException | None = error
    while found is not None:
        if text := str(found).strip():
            texts.append(text)
        found = found.__cause__
    if not texts:
        return type(error).__name__
    said = texts[-1].splitlines()[0]
    everything = "\n".join(texts)
    if (operator := _OPERATOR.search(everything)) is not None:
        name = operator.group("op") or operator.group("call")
        if name not in said:
            said += f", operator {name}"
    if places := _PLACE.findall(everything):
        file, line = places[-1]
        said += f", at {file}:{line}"
    return said


@contextlib.contextmanager
def _quiet():  # type: ignore[no-untyped-def]
    """The exporter prints whole graphs; what matters of them is in the error."""
    # `disable` holds for all loggers; its old value is nowhere but here.
    level = logging.root.manager.disable
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)
        try:
            yield
        finally:
            logging.disable(level)
