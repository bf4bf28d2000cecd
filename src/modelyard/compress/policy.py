"""Which of the measured variants serves."""

from __future__ import annotations

from collections.abc import Sequence

from modelyard.packages.package import Variant


def choose(variants: Sequence[Variant]) -> list[Variant]:
    """The variants with one of them chosen: the fastest among those that have files.

    Every variant here was compared with the trained model and judged, so only speed is left to
    decide by; the first of equally fast ones is taken.
    """
    compiled = [variant for variant in variants if variant.graphs]
    assert compiled, "export makes a variant or fails"
    best = min(compiled, key=lambda variant: variant.p50_ms)
    return [variant.model_copy(update={"chosen": variant is best}) for variant in variants]
