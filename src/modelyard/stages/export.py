"""export: the trained model as ONNX and in smaller forms, compared with the original, measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.compress.building import make_variants
from modelyard.compress.parity import check_likeness, check_parity
from modelyard.compress.recipes import OnnxInt8Aware, Source, Task
from modelyard.packages.variant import BASE, Variants
from modelyard.runtimes.export import to_onnx
from modelyard.runtimes.torch import TorchRuntime
from modelyard.runtimes.types import Graph, Runtime
from modelyard.stages.run import Run, stage
from modelyard.stages.variants import Likeness, calibration, compiled_of, judge_variants, opened
from modelyard.store.artifact import In, Out, write_json
from modelyard.store.base import AWARE

if TYPE_CHECKING:
    from modelyard.compress.aware import AwareGraph


@stage(reads=("export", "gate", "seed", "evaluation"))
def export(run: Run, features: In, model: In, graphs: Out) -> str:
    """Makes each variant that applies, compares it with the trained model, judges it on
    validation, and times it."""
    pieces, native = run.family.graphs(model), run.family.native(model)
    host = run.entry.open(model / "assets")
    sources = _in_full_precision(pieces, graphs, run.config.export.opset)
    in_full = {source.name: source.file.relative_to(graphs).as_posix() for source in sources}
    base = opened(graphs, BASE, in_full).compared(partial(_parity, pieces, native))

    task = Task(
        settings=run.config.export,
        operators=run.family.quantized,
        recorded=calibration(run, host, features, base.runtime),
        lengths=run.family.lengths,
        aware=_aware(pieces, model),
        native=run.family.native_files(model),
    )
    made, left_out = make_variants(sources, graphs, task, run.progress("export"))

    def likeness(name: str) -> Likeness:
        if name != OnnxInt8Aware.name:
            return partial(check_likeness, pieces, native)
        # The copy learned on, and with rounding: its files are seen next to itself.
        copies = [aware().rounded for aware in task.aware.values()]
        return partial(check_likeness, copies, TorchRuntime(copies))

    others, not_opened = compiled_of(graphs, made, likeness)
    judged = judge_variants(run, host, features, native, _size(model), [base, *others])
    variants = judged.model_copy(update={"left_out": [*left_out, *not_opened, *judged.left_out]})
    write_json(graphs / "variants.json", variants)
    return _headline(variants)


def _in_full_precision(pieces: Sequence[Graph], graphs: Path, opset: int) -> list[Source]:
    from modelyard.compress.facts import facts_of

    sources = []
    for piece in pieces:
        file = graphs / BASE / f"{piece.name}.onnx"
        to_onnx(piece, file, opset)
        sources.append(Source(piece.name, file, facts_of(file)))
    return sources


def _aware(pieces: Sequence[Graph], model: Path) -> dict[str, Callable[[], AwareGraph]]:
    """What makes the graphs of the copy that learned 8 bits, where training left one."""
    if not (model / AWARE).is_dir():
        return {}
    from modelyard.compress.aware import Learned

    learned = Learned.load(model)
    return {piece.name: partial(learned.applied, piece) for piece in pieces}


def _parity(pieces: Sequence[Graph], native: Runtime, runtime: Runtime) -> float:
    return max(check_parity(piece, native, runtime) for piece in pieces)


def _headline(variants: Variants) -> str:
    best = variants.chosen
    compiled = len(variants.variants) - 1  # the trained model is one of them
    of = f" of {compiled}" if compiled > 1 else ""
    return (
        f"{best.name}{of}, {best.bytes / 1e3:,.0f} kB, differs by {best.max_difference:.1e} at most"
    )


def _size(model: Path) -> int:
    """Bytes of the trained model's own files, without what is said about it."""
    size = 0
    for file in model.iterdir():
        if file.is_file() and file.suffix != ".json":
            size += file.stat().st_size
    return size
