"""The compiled forms of a model: measured, judged, and one of them chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from modelyard.runtimes.gpu import BuiltFor
from modelyard.settings.export import Aim
from modelyard.store.contents import Name

Plain = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
"""A text that may stand in a header, a file's name and a label of the metrics."""

NATIVE = "native"
"""The trained model in its own library: what compiled forms are compared with."""
BASE = "onnx-fp32"
"""The variant that every model has, that others are made from, and that serves where no other
one loads."""


class Variant(BaseModel):
    """One compiled form of a model, measured.

    Milliseconds are of whole predictions, host included, on the machine that exported.
    """

    model_config = ConfigDict(frozen=True)

    name: Plain
    """onnx-fp32, …; `native` is the trained model in its own library, for comparison, and has no
    files."""
    graphs: dict[str, Name]
    """Graph name to file, relative to the graphs' folder; empty: not in the package."""
    bytes: int
    """Size of all files."""
    p50_ms: float
    """Median of one single-example prediction."""
    p99_ms: float | None = None
    load_ms: float | None = None
    """How long opening the graphs takes."""
    batch: int | None = None
    """The batch size with the most predictions a second. None, here and below: an older package
    does not say."""
    batch_p50_ms: float | None = None
    batch_p99_ms: float | None = None
    per_second: float | None = None
    """Predictions a second at that batch size."""
    metric: float
    """The gate's metric on the validation split."""
    change: float | None = None
    """By how much that is more than the trained model's."""
    change_interval: tuple[float, float] | None = None
    """95 % interval of the change, from paired bootstrap samples; None: too few rows, or the
    family gives no samples of this metric."""
    rows: int | None = None
    """How many of the split it was judged on; None: an older package does not say."""
    max_difference: float
    """Largest |difference| / max(1, |value - median|) from the trained model over the example."""
    built_for: BuiltFor | None = None
    """The only GPU and TensorRT that run it; None: any machine."""
    chosen: bool = False
    rejected: bool = False
    """It loses more quality than is allowed: it never serves."""
    reason: str = ""
    """Why it was chosen, or not."""

    @property
    def verdict(self) -> str:
        """One word for a table."""
        if self.chosen:
            return "chosen"
        if self.rejected:
            return "rejected"
        if self.name == NATIVE:
            return "reference"
        return "passed"


class LeftOut(BaseModel):
    """A variant that was not measured."""

    model_config = ConfigDict(frozen=True)

    name: Plain
    verdict: Literal["refused", "failed", "rejected"]
    """`refused`: its recipe does not apply. `failed`: it could not be made or opened. `rejected`:
    its answers are nothing like the trained model's."""
    reason: str


class Choice(BaseModel):
    """By what the variant that serves was chosen."""

    model_config = ConfigDict(frozen=True)

    aim: Aim
    max_loss: float
    """Of the gate's metric on the validation split, in its unit."""
    max_loss_of: str
    """Where that figure comes from."""


class Variants(BaseModel):
    """All compiled forms of a model, the trained model first."""

    model_config = ConfigDict(frozen=True)

    variants: list[Variant]
    left_out: list[LeftOut] = []
    choice: Choice | None = None
    """None: an older package does not say."""

    @property
    def chosen(self) -> Variant:
        """The variant that serves."""
        return next(variant for variant in self.variants if variant.chosen)


def by_preference(variants: Sequence[Variant]) -> list[Variant]:
    """The variants that may serve from a package's files: the chosen one, then the fastest."""
    able = [variant for variant in variants if variant.graphs and not variant.rejected]
    # False sorts before True.
    return sorted(able, key=lambda variant: (not variant.chosen, variant.p50_ms))


def by_reason(variants: Sequence[LeftOut]) -> dict[tuple[str, str], list[str]]:
    """Names by verdict and reason."""
    found: dict[tuple[str, str], list[str]] = {}
    for variant in variants:
        found.setdefault((variant.verdict, variant.reason), []).append(variant.name)
    return found
