"""How fast training is: examples a second, floating point operations, and their share of what
the device can do."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    Batch = dict[str, torch.Tensor]

PEAK_TFLOPS: dict[str, dict[str, float]] = {
    "B200": {"bf16": 2250, "fp16": 2250, "tf32": 1125, "fp32": 75},
    "H200": {"bf16": 989, "fp16": 989, "tf32": 494, "fp32": 67},
    "H100 PCIe": {"bf16": 756, "fp16": 756, "tf32": 378, "fp32": 51},
    "H100": {"bf16": 989, "fp16": 989, "tf32": 494, "fp32": 67},
    "A100": {"bf16": 312, "fp16": 312, "tf32": 156, "fp32": 19.5},
    "L40S": {"bf16": 362, "fp16": 362, "tf32": 183, "fp32": 91.6},
    "L4": {"bf16": 121, "fp16": 121, "tf32": 60, "fp32": 30.3},
    "A10": {"bf16": 125, "fp16": 125, "tf32": 62.5, "fp32": 31.2},
    "V100": {"fp16": 125, "fp32": 15.7},
    "T4": {"fp16": 65, "fp32": 8.1},
}
"""Dense peak by whole words of the GPU's name and by precision, from NVIDIA's data sheets; the
first match counts."""


def operations(objective: torch.nn.Module, batch: Batch) -> int:
    """Floating point operations of one training step on `batch`: three times those of the forward
    pass.

    A backward pass has two products for each of the forward's (Kaplan et al. 2020, section 2.1).
    Recomputed activations do not count, as usual for model FLOPs utilization (Chowdhery et al.
    2022, appendix B).
    """
    from torch.distributed.fsdp import FSDPModule
    from torch.utils.flop_counter import FlopCounterMode

    training = objective.training
    objective.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        # forward() passes a compiled call by; only the call gathers shards.
        if isinstance(objective, FSDPModule):
            objective(batch)
        else:
            objective.forward(batch)
    objective.train(training)
    return 3 * int(counter.get_total_flops())


def peak(device: torch.device, precision: str) -> float | None:
    """Operations a second that the device can do at most; None where it is not in the table."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    for part, rates in PEAK_TFLOPS.items():
        # An A1000 is no A100; a GH200 is an H200 next to a processor.
        if not re.search(rf"\bG?{part}\b", name):
            continue
        if precision in rates:
            return rates[precision] * 1e12
        return None
    return None


@dataclass
class Throughput:
    """Counts what this process does between two looks."""

    device: torch.device
    precision: str
    processes: int
    operations: float | None = None
    """Of an example; None: not counted yet."""
    examples: int = 0
    since: float = 0.0

    def begin(self) -> None:
        """Starts the clock."""
        self.examples, self.since = 0, time.perf_counter()

    def figures(self) -> dict[str, Any]:
        """`examples_per_second` over all processes, `tflops` and `mfu` of each device; since
        `begin`."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        rate = self.examples / max(1e-9, time.perf_counter() - self.since)
        found: dict[str, Any] = {"examples_per_second": rate * self.processes}
        if self.operations:
            found["tflops"] = rate * self.operations / 1e12
            limit = peak(self.device, self.precision)
            if limit:
                found["mfu"] = rate * self.operations / limit
        return found
