"""Recipes: each makes one variant of a model's graphs from their ONNX files in full precision."""

from __future__ import annotations

import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from modelyard.compress.profiles import ranges_of
from modelyard.home import home
from modelyard.runtimes.gpu import tensorrt_version, this_machine
from modelyard.settings.export import ExportSettings

if TYPE_CHECKING:
    from modelyard.compress.aware import AwareGraph
    from modelyard.compress.calibration import Recorded
    from modelyard.compress.facts import Facts

LEAST_BYTES = 1_000_000
"""Of weights: below it a call's own cost outweighs what fewer bits save."""
MATRICES = frozenset({"MatMul", "Gemm"})


@dataclass(frozen=True)
class Source:
    """A graph in full precision."""

    name: str
    file: Path
    facts: Facts


@dataclass(frozen=True)
class Task:
    """What recipes are asked for."""

    settings: ExportSettings
    operators: frozenset[str]
    """Those that the family allows to be quantized."""
    recorded: Callable[[], Recorded]
    """Calls of the graphs for requests of the training split; made when first asked for."""
    lengths: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Least and most of the inputs' axes that vary besides the batch, by input."""
    aware: Mapping[str, Callable[[], AwareGraph]] = field(default_factory=dict)
    """What makes the graphs of the copy that learned 8 bits, by name; empty where none did."""
    native: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)
    """Files of the trained model that a runtime opens as they are: by its name, then by graph."""


class Recipe(ABC):
    """One way to compile a model. `RECIPES` lists those that export knows."""

    name: ClassVar[str]
    """The variant's: its runtime, then what is special about it, such as `onnx-int8`."""
    suffix: ClassVar[str] = ".onnx"
    """Of its files."""

    def concerns(self, task: Task) -> bool:
        """Whether people wonder about it for such a model: where not, only who names it reads why
        it was refused."""
        return True

    @abstractmethod
    def refusal(self, sources: Sequence[Source], task: Task) -> str:
        """Why it does not apply to these graphs, for people; empty: it does."""

    @abstractmethod
    def doubt(self, sources: Sequence[Source], task: Task) -> str:
        """Why it is unlikely to pay, so that it is tried only where it is named; empty: it may."""

    @abstractmethod
    def make(self, source: Source, file: Path, task: Task) -> None:
        """Writes one graph to `file`. What goes wrong in a library is raised as it comes."""


class OnnxFp16(Recipe):
    """Half precision; inputs and outputs stay float32."""

    name = "onnx-fp16"

    def refusal(self, sources: Sequence[Source], task: Task) -> str:
        """Trees have no weights that could be halved."""
        return _without_weights(sources, None)

    def doubt(self, sources: Sequence[Source], task: Task) -> str:
        """It is for GPUs, or for small files."""
        if small := _small(sources, None):
            return small
        if task.settings.aim == "size":
            return ""
        return "a CPU computes in float32, so that half precision only adds conversions"

    def make(self, source: Source, file: Path, task: Task) -> None:
        """Converts weights and operators, but for those that ONNX Runtime lacks in float16."""
        from modelyard.compress import quantize

        quantize.to_fp16(source.file, file)


class OnnxInt8(Recipe):
    """Weights in 8 bits, activations quantized as they come (dynamic quantization)."""

    name = "onnx-int8"

    def refusal(self, sources: Sequence[Source], task: Task) -> str:
        """It is for matrix products."""
        return _without_weights(sources, MATRICES & task.operators)

    def doubt(self, sources: Sequence[Source], task: Task) -> str:
        """Small products gain nothing."""
        return _small(sources, MATRICES & task.operators)

    def make(self, source: Source, file: Path, task: Task) -> None:
        """Per channel."""
        from modelyard.compress import quantize

        quantize.to_int8(source.file, file, MATRICES & task.operators)


class OnnxInt8Static(Recipe):
    """Weights and activations in 8 bits, with ranges found on training examples (QDQ)."""

    name = "onnx-int8-static"

    def refusal(self, sources: Sequence[Source], task: Task) -> str:
        """It needs products or convolutions, and calls to calibrate on."""
        if reason := _without_weights(sources, task.operators):
            return reason
        recorded = task.recorded()
        for source in sources:
            if not recorded.get(source.name):
                return f"no training request calls graph {source.name!r}: nothing to calibrate on"
        return ""

    def doubt(self, sources: Sequence[Source], task: Task) -> str:
        """Where most weights are those of matrix products, dynamic int8 loses less."""
        if small := _small(sources, task.operators):
            return small
        kernels = sum(source.facts.bytes_in(frozenset({"Conv"})) for source in sources)
        if 2 * kernels < _weights(sources, task.operators):
            return "few of the weights are convolutions: onnx-int8 fits better"
        return ""

    def make(self, source: Source, file: Path, task: Task) -> None:
        """Per channel, in the ONNX form with QuantizeLinear and DequantizeLinear."""
        from modelyard.compress import quantize

        calls = task.recorded()[source.name]
        quantize.to_static_int8(source.file, file, task.operators, calls, task.settings.calibration)


class OnnxInt8Aware(Recipe):
    """As onnx-int8-static, of the copy that learned 8 bits in training, with the ranges that it
    learned with."""

    name = "onnx-int8-aware"

    def refusal(self, sources: Sequence[Source], task: Task) -> str:
        """Training makes the copy."""
        if not task.aware:
            said = "no copy of this model learned 8 bits"
            return f"{said}. Run it with --set compress.aware_epochs=10"
        return OnnxInt8Static().refusal(sources, task)

    def doubt(self, sources: Sequence[Source], task: Task) -> str:
        """Who had a copy trained wants it tried."""
        return self.refusal(sources, task)

    def make(self, source: Source, file: Path, task: Task) -> None:
        """Exports the copy, then quantizes it."""
        from modelyard.compress import quantize
        from modelyard.runtimes.export import to_onnx

        aware, settings = task.aware[source.name](), task.settings
        calls = task.recorded()[source.name]
        with tempfile.TemporaryDirectory(prefix="modelyard-aware-") as folder:
            precise = Path(folder) / "source.onnx"
            to_onnx(aware.graph, precise, settings.opset)
            quantize.to_static_int8(
                precise, file, task.operators, calls, settings.calibration, known=aware.tensors
            )


class WeightOnly(Recipe):
    """Weights in blocks of few bits, unpacked as they are used: for decoders, whose speed is that
    of reading weights."""

    bits: ClassVar[int]

    def refusal(self, sources: Sequence[Source], task: Task) -> str:
        """It is for matrix products."""
        return _without_weights(sources, frozenset({"MatMul"}) & task.operators)

    def doubt(self, sources: Sequence[Source], task: Task) -> str:
        """It is for decoders: inputs of any length."""
        if small := _small(sources, frozenset({"MatMul"}) & task.operators):
            return small
        if not any(source.facts.lengths for source in sources):
            return "inputs have a fixed length: fewer bits of weights save reading, not computing"
        return ""

    def make(self, source: Source, file: Path, task: Task) -> None:
        """MatMulNBits, blocks of 32 weights."""
        from modelyard.compress import quantize

        quantize.to_few_bits(source.file, file, self.bits)


class OnnxInt8Weights(WeightOnly):
    """Weights in 8 bits."""

    name, bits = "onnx-int8-weights", 8


class OnnxInt4(WeightOnly):
    """Weights in 4 bits."""

    name, bits = "onnx-int4", 4


class TensorRt(Recipe):
    """An engine for the GPU of this machine, from an ONNX file of the same precision."""

    def refusal(self, sources: Sequence[Source], task: Task) -> str:
        """It needs a GPU, its driver and TensorRT, here and where it serves."""
        if reason := _without_weights(sources, None):
            return reason
        if this_machine() is not None:
            return ""
        if tensorrt_version() is None:
            return "TensorRT is not installed. Export on the GPU type that serves, in modelyard/trainer-cuda"
        return "no NVIDIA GPU answers here: an engine is built on the GPU type that serves"

    def doubt(self, sources: Sequence[Source], task: Task) -> str:
        """Wherever it applies it may pay."""
        return self.refusal(sources, task)

    def make(self, source: Source, file: Path, task: Task) -> None:
        """Builds the engine, or takes one with the same key from the home folder."""
        from modelyard.compress import engines

        built_for = this_machine()
        assert built_for is not None, "refusal() looked"
        calls = task.recorded().get(source.name, [])
        # An engine answers shapes within the ranges that it was built for, and no others.
        ranges = ranges_of(source.facts.inputs, calls, task.lengths)
        with tempfile.TemporaryDirectory(prefix="modelyard-engine-") as folder:
            precise = Path(folder) / "source.onnx"
            self.precise(source, precise, task)
            engines.build(precise, file, ranges, built_for, home() / "tensorrt")

    @abstractmethod
    def precise(self, source: Source, file: Path, task: Task) -> None:
        """Writes the ONNX file whose precisions the engine takes."""


class TensorRtFp32(TensorRt):
    """Full precision."""

    name = "tensorrt-fp32"

    def precise(self, source: Source, file: Path, task: Task) -> None:
        """The graph as it is."""
        shutil.copy2(source.file, file)


class TensorRtFp16(TensorRt):
    """Half precision."""

    name = "tensorrt-fp16"

    def precise(self, source: Source, file: Path, task: Task) -> None:
        """As onnx-fp16."""
        OnnxFp16().make(source, file, task)


class TensorRtInt8(TensorRt):
    """Weights and activations in 8 bits."""

    name = "tensorrt-int8"

    def refusal(self, sources: Sequence[Source], task: Task) -> str:
        """It is calibrated as onnx-int8-static is."""
        return super().refusal(sources, task) or OnnxInt8Static().refusal(sources, task)

    def precise(self, source: Source, file: Path, task: Task) -> None:
        """As onnx-int8-static, with ranges around zero: TensorRT knows no other."""
        from modelyard.compress import quantize

        calls = task.recorded()[source.name]
        method = task.settings.calibration
        quantize.to_static_int8(source.file, file, task.operators, calls, method, around_zero=True)


class Xgboost(Recipe):
    """The trained booster's own file, run by XGBoost: for many rows at once."""

    name, suffix = "xgboost", ".ubj"

    def concerns(self, task: Task) -> bool:
        """Boosters of XGBoost only."""
        return self.name in task.native

    def refusal(self, sources: Sequence[Source], task: Task) -> str:
        """Its file comes from training; a package made without it has none."""
        if self.concerns(task):
            return ""
        return (
            "no booster of XGBoost is at hand. It is one with model.kind=xgboost, and goes into the package "
            "when the run exports: --set export.variants=xgboost"
        )

    def doubt(self, sources: Sequence[Source], task: Task) -> str:
        """A single row waits for XGBoost's preparations longer than the trees take."""
        if task.settings.aim == "throughput":
            return ""
        said = "one row is answered faster by ONNX Runtime; XGBoost is for many"
        return f"{said}: export.aim=throughput"

    def make(self, source: Source, file: Path, task: Task) -> None:
        """As training wrote it."""
        shutil.copy2(task.native[self.name][source.name], file)


RECIPES: tuple[Recipe, ...] = (
    OnnxFp16(),
    OnnxInt8(),
    OnnxInt8Static(),
    OnnxInt8Aware(),
    OnnxInt8Weights(),
    OnnxInt4(),
    TensorRtFp32(),
    TensorRtFp16(),
    TensorRtInt8(),
    Xgboost(),
)


def _weights(sources: Sequence[Source], operators: frozenset[str] | None) -> int:
    """Bytes of weights in these operators; None: in any."""
    total = 0
    for source in sources:
        if operators is None:
            total += sum(source.facts.weights.values())
        else:
            total += source.facts.bytes_in(operators)
    return total


def _without_weights(sources: Sequence[Source], operators: frozenset[str] | None) -> str:
    if _weights(sources, operators):
        return ""
    if not _weights(sources, None):
        return "the graph holds no matrix or kernel of weights"
    named = " or ".join(sorted(operators or ())) or "any operator"
    return f"no weights in {named} that may be quantized"


def _small(sources: Sequence[Source], operators: frozenset[str] | None) -> str:
    size = _weights(sources, operators)
    if size >= LEAST_BYTES:
        return ""
    if size == 0:
        return _without_weights(sources, operators)
    return f"{size / 1e3:,.0f} kB of weights: too few to gain by fewer bits"
