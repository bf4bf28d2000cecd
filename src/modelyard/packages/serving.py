"""Which variant of a package serves on this machine: the chosen one, or the next that opens."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelyard.errors import BrokenArtifact
from modelyard.packages.variant import Variant, by_preference
from modelyard.runtimes.devices import CPU, Place
from modelyard.runtimes.gpu import this_machine
from modelyard.runtimes.opening import open_variant
from modelyard.runtimes.types import Runtime

log = logging.getLogger("modelyard.serving")


@dataclass(frozen=True)
class Serving:
    """An opened variant."""

    variant: Variant
    run: Runtime
    passed_over: Mapping[str, str]
    """Variants that come first and do not open here, with the reason."""


def open_best(
    graphs: Path,
    variants: Sequence[Variant],
    unreadable: Mapping[str, str],
    device: str | Place = CPU,
    threads: int | None = None,
) -> Serving:
    """Opens the chosen variant, or else the fastest of the others that opens; a warning names each
    that does not.

    Args:
        unreadable: variants whose files are no ONNX, with what is wrong: never given to a runtime.

    Raises:
        BrokenArtifact: none opens: what is wrong with the chosen one.
    """
    passed_over: dict[str, str] = {}
    for variant in by_preference(variants):
        try:
            if variant.name in unreadable:
                raise BrokenArtifact(unreadable[variant.name])
            # TensorRT compiles for one GPU and one version of itself.
            if variant.built_for is not None:
                reason = variant.built_for.difference(this_machine())
                if reason:
                    raise BrokenArtifact(f"variant {variant.name}: {reason}")
            run = open_variant(graphs, variant.name, variant.graphs, device=device, threads=threads)
        except BrokenArtifact as error:
            passed_over[variant.name] = str(error)
            continue
        for name, reason in passed_over.items():
            log.warning("variant %s does not open here (%s): %s serves", name, reason, variant.name)
        return Serving(variant, run, passed_over)
    raise BrokenArtifact(next(iter(passed_over.values())))
