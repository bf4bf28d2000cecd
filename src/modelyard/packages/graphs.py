"""The graphs of a package, read as data: each names only files of the package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modelyard.errors import BrokenArtifact
from modelyard.packages.variant import Variant
from modelyard.runtimes.external import external_data
from modelyard.runtimes.opening import runtime_of
from modelyard.store import contents
from modelyard.store.artifact import Manifest


def check_graphs(path: Path, manifest: Manifest, variants: Sequence[Variant]) -> dict[str, str]:
    """Variants whose files are no ONNX, with what is wrong: another one may serve.

    Raises:
        BrokenArtifact: not one of them is the chosen one, or a graph names a file outside the
            package.
    """
    chosen = [variant for variant in variants if variant.chosen]
    if len(chosen) != 1:
        raise BrokenArtifact(
            f"{path}: {len(chosen)} of its variants are the chosen one; it must be one"
        )
    unreadable: dict[str, str] = {}
    for variant in variants:
        for graph, file in variant.graphs.items():
            name = f"graphs/{file}"
            if name not in manifest.files:
                raise BrokenArtifact(
                    f"{path}: graph {graph!r} is said to lie in {name}, which is not in the manifest"
                )
            if runtime_of(variant.name) == "xgboost":
                continue  # its files name no others, and XGBoost says what is wrong with them
            if problem := _check_external(path, manifest, name):
                unreadable[variant.name] = problem
    return unreadable


def _check_external(path: Path, manifest: Manifest, graph: str) -> str:
    """A runtime opens what a graph names: that must be a file of the package. Says why it is no
    ONNX; empty: it is."""
    try:
        named = list(external_data(path / graph))
    except ValueError as error:
        return f"{path}/{graph} is not an ONNX model that runs here: {error}"
    folder = graph.rpartition("/")[0]
    for outside in named:
        try:
            # ONNX takes a location from the folder of the graph's own file.
            name = f"{folder}/{contents.check_name(outside.location)}"
        except ValueError as error:
            raise BrokenArtifact(f"{path}/{graph}: its external data {error}") from None
        if name not in manifest.files:
            raise BrokenArtifact(
                f"{path}/{graph} takes data from {name}, which is not in the manifest"
            )
        size = (path / name).stat().st_size
        # Without a length it takes all from the offset on.
        length = outside.length or 0
        end = outside.offset + length
        if min(outside.offset, length) < 0 or end > size:
            raise BrokenArtifact(
                f"{path}/{graph} takes bytes {outside.offset:,} to {end:,} of {name}, which has {size:,}"
            )
    return ""
