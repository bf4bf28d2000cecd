"""Recipes: each makes one variant of a model's graphs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from modelyard.runtimes.export import to_onnx
from modelyard.runtimes.types import Graph


class Recipe(Protocol):
    """One way to compile a model. `RECIPES` lists those that export tries, in this order."""

    @property
    def name(self) -> str:
        """The variant's name: its runtime, then what is special about it, such as `onnx-fp32`."""

    def refusal(self, graphs: Sequence[Graph]) -> str:
        """Why it does not apply to these graphs, for people; empty: it does."""

    def make(self, graph: Graph, folder: Path, opset: int) -> Path:
        """Writes one graph below `folder`; returns its file.

        Raises:
            BrokenArtifact: the graph cannot be compiled this way: the cause in one line.
        """


class OnnxFp32:
    """ONNX in full precision: what every other variant is compared with."""

    name = "onnx-fp32"

    def refusal(self, graphs: Sequence[Graph]) -> str:
        """It always applies."""
        return ""

    def make(self, graph: Graph, folder: Path, opset: int) -> Path:
        """Writes `<graph>.onnx`."""
        file = folder / f"{graph.name}.onnx"
        to_onnx(graph, file, opset)
        return file


RECIPES: tuple[Recipe, ...] = (OnnxFp32(),)
