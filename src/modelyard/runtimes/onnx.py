"""Graphs on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelyard.errors import BrokenArtifact
from modelyard.runtimes.cores import available_cores
from modelyard.runtimes.devices import CPU_PLACE, ON_CPU, Place, Provider
from modelyard.runtimes.types import Arrays, Tensor

SLOWER = ("SkipLayerNormFusion",)
"""ONNX Runtime's optimizations that cost time on a CPU: its kernel for a sum with its normalization
takes six times as long as the two apart."""


class OnnxRuntime:
    """Runs graphs by name: `run("model", {"features": x})`.

    `graphs` maps a name to an ONNX file or to its bytes; `threads` bounds the cores of one call;
    `providers` are ONNX Runtime's execution providers with their options, the first choice first;
    `without` names optimizations to leave out.
    """

    place: Place = CPU_PLACE
    """Where it computes."""

    def __init__(
        self,
        graphs: Mapping[str, Path | bytes],
        threads: int | None = None,
        providers: Sequence[Provider] = CPU_PLACE.providers,
        without: Sequence[str] = (),
    ) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or available_cores()
        options.log_severity_level = 3
        # Spinning threads win microseconds here and cost a busy core in a shared pod.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # On processors without VNNI products of 8 bits overflow 16 of them, and the same file answers
        # otherwise than where it was judged. This takes the sums that do not; others ignore it.
        options.add_session_config_entry("session.x64quantprecision", "1")
        left_out: tuple[str, ...] = ()
        if providers[0][0] == ON_CPU:
            left_out = (*SLOWER, *without)
        self._sessions = {}
        for name, graph in graphs.items():
            source: str | bytes
            if isinstance(graph, bytes):
                source, where = graph, ""
            else:
                source, where = str(graph), f" ({graph})"
            try:
                session = onnxruntime.InferenceSession(
                    source,
                    options,
                    providers=list(providers),
                    enable_fallback=False,
                    disabled_optimizers=left_out,
                )
            except Exception as error:
                raise BrokenArtifact(
                    f"graph {name!r}{where} is not an ONNX model that runs here: {error}"
                ) from None
            outputs = [output.name for output in session.get_outputs()]
            self._sessions[name] = session, outputs

    def signature(self, graph: str) -> tuple[list[Tensor], list[Tensor]]:
        """Inputs and outputs of a graph as ONNX declares them."""
        session, _ = self._sessions[graph]
        inputs = [_tensor(declared) for declared in session.get_inputs()]
        outputs = [_tensor(declared) for declared in session.get_outputs()]
        return inputs, outputs

    def __call__(self, graph: str, arrays: Arrays) -> Arrays:
        session, outputs = self._sessions[graph]
        return dict(zip(outputs, session.run(outputs, arrays), strict=True))


def _tensor(declared: Any) -> Tensor:
    kind = declared.type.removeprefix("tensor(").removesuffix(")")
    # An axis that varies has a name in place of a size, or neither.
    shape = [size if isinstance(size, int) else None for size in declared.shape]
    return Tensor(declared.name, kind, tuple(shape))
