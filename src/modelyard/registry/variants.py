"""The variants of a package as MLflow records them."""

from __future__ import annotations

from modelyard.packages.variant import LeftOut, Variant, Variants

FIGURES = (
    "bytes",
    "load_ms",
    "p50_ms",
    "p99_ms",
    "batch",
    "batch_p50_ms",
    "batch_p99_ms",
    "per_second",
    "metric",
    "change",
    "max_difference",
)
"""Fields of a variant that are numbers worth comparing over runs."""


def figures(compiled: Variants) -> dict[str, float]:
    """`variant/onnx-int8/p50_ms` and the like, of every measured variant."""
    found = {}
    for variant in compiled.variants:
        for name in FIGURES:
            value = getattr(variant, name)
            if value is not None:
                found[f"variant/{variant.name}/{name}"] = float(value)
    return found


def tags(compiled: Variants) -> dict[str, str]:
    """Which variant serves, and a line on each."""
    lines = []
    described: list[Variant | LeftOut] = [*compiled.variants, *compiled.left_out]
    for variant in described:
        reason = f": {variant.reason}" if variant.reason else ""
        lines.append(f"{variant.name} {variant.verdict}{reason}")
    return {"modelyard.serves": compiled.chosen.name, "modelyard.variants": "\n".join(lines)}
