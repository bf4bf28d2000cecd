"""The processes that train together, and this one's place among them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from types import FrameType
from typing import Any

import torch
from torch import distributed

from modelyard.runtimes.cores import available_cores
from modelyard.training.connecting import connect

SILENCE = timedelta(minutes=10)
"""A process that is not heard of for so long is given up."""


@dataclass(frozen=True)
class World:
    """One process of `size`; the only one unless torchrun started it."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Among those of this node."""
    device: torch.device = field(
        default_factory=lambda: torch.device("cuda" if torch.cuda.is_available() else "cpu")
    )

    @classmethod
    @contextmanager
    def joined(cls) -> Iterator[World]:
        """This process as torchrun's environment describes it, connected to the others within the
        block.

        CPU tensors travel by gloo, GPU tensors by NCCL. A block of an already connected process
        joins nothing.

        Raises:
            Unavailable: the processes do not get connected.
        """
        size = int(os.environ.get("WORLD_SIZE", 1))
        if distributed.is_initialized() or size == 1:
            yield cls.here()
            return
        # Processes of a node share its cores: torch would start a thread for each core in each
        # process.
        torch.set_num_threads(
            max(1, available_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
        )
        device = cls.here().device
        if device.type == "cuda":
            torch.cuda.set_device(device)
        connect(device, size, SILENCE)
        try:
            yield cls.here()
        finally:
            distributed.destroy_process_group()

    @classmethod
    def here(cls) -> World:
        """This process's place, by torchrun's environment."""
        if int(os.environ.get("WORLD_SIZE", 1)) == 1:
            return cls()
        local = int(os.environ["LOCAL_RANK"])
        device = torch.device("cpu")
        # More processes than GPUs are trained on the cores: NCCL refuses two on one GPU.
        if int(os.environ.get("LOCAL_WORLD_SIZE", 1)) <= torch.cuda.device_count():
            device = torch.device("cuda", local)
        return cls(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), local, device)

    @property
    def leads(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.rank == 0

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Sums over all processes, in place."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def anyone(self, *flags: bool) -> list[bool]:
        """For each flag, whether it is set in any process."""
        if self.size == 1:
            return list(flags)
        values = torch.tensor(flags, dtype=torch.int32)
        distributed.all_reduce(values, distributed.ReduceOp.MAX)
        return [bool(value) for value in values.tolist()]

    def barrier(self) -> None:
        """Waits for all."""
        if self.size > 1:
            # A sum on the CPU goes by gloo: a barrier of NCCL would take a GPU's queue.
            distributed.all_reduce(torch.zeros(1))

    def spread(self, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The first process's CPU tensors by name, in every process."""
        if self.size == 1:
            return tensors
        shapes = [(name, value.shape, value.dtype) for name, value in tensors.items()]
        # Names and shapes first, so that the others can make room.
        sent: list[Any] = [shapes]
        distributed.broadcast_object_list(sent)
        if not self.leads:
            tensors = {name: torch.empty(shape, dtype=dtype) for name, shape, dtype in sent[0]}
        for value in tensors.values():
            distributed.broadcast(value, src=0)
        return tensors


class Preemption:
    """Whether SIGTERM came: Kubernetes sends it before it takes a node away."""

    def __init__(self) -> None:
        self.requested = False
        self.tell: Callable[[], object] = bool
        """Called when it comes."""

    @contextmanager
    def heard(self) -> Iterator[Preemption]:
        """Listens within the block; what SIGTERM did before is put back after it."""
        try:
            before = signal.signal(signal.SIGTERM, self._hear)
        except ValueError:  # not the main thread, which handles signals
            yield self
            return
        try:
            yield self
        finally:
            signal.signal(signal.SIGTERM, before)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self.tell()
