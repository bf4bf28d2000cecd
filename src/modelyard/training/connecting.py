"""How processes that train together get connected: within a time limit, and with a reason where
they do not.

NCCL connects at its first collective, which would otherwise be the first step's: an interface that
it cannot use, or too small a /dev/shm, would show after the data is loaded, or as a wait without
end.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from datetime import timedelta

import torch
from torch import distributed

from modelyard.errors import Unavailable

START_SECONDS = 180.0
"""Longest that it may take, once torchrun has started the processes of all nodes."""
_LAST_WORD = "Last error:"
"""The line of an error of NCCL after which the reason stands."""


def connect(
    device: torch.device,
    size: int,
    silence: timedelta,
    seconds: float = START_SECONDS,
) -> None:
    """Connects this process with the others, and sends a number around.

    Args:
        device: what this process computes on.
        size: how many processes there are.
        silence: how long a later collective may wait.
        seconds: the time limit.

    Raises:
        Unavailable: the processes do not get connected. Some of the connection's threads may still
            wait: the process should end by `os._exit`.
    """
    backend = "gloo"
    if device.type == "cuda":
        backend = "cpu:gloo,cuda:nccl"

    def start() -> None:
        distributed.init_process_group(backend, timeout=silence)
        # Each of the two ways once: gloo for tensors on the CPU, NCCL for those on a GPU.
        for place in dict.fromkeys((torch.device("cpu"), device)):
            summed = torch.ones(1, device=place)
            distributed.all_reduce(summed)
            if int(summed.item()) != size:
                raise RuntimeError(f"{size} processes add up to {summed.item():g}")

    problem = _within(seconds, start)
    if problem is not None:
        where = f"process {os.environ.get('RANK')} of {size} on {socket.gethostname()}"
        raise Unavailable(
            f"{where} was not connected to the others: {problem}. {_advice(device, problem)}"
        )


def _within(seconds: float, work: Callable[[], None]) -> str | None:
    """What is wrong with `work`; None where it ended well within so many seconds."""
    found: list[str] = []
    ended = threading.Event()

    def watched() -> None:
        try:
            work()
        except (RuntimeError, ValueError) as error:  # torch has no class in common for them
            found.append(_reason(str(error)))
        finally:
            ended.set()

    # A thread that waits in NCCL for ever must not hold the process up when it ends.
    threading.Thread(target=watched, daemon=True).start()
    if not ended.wait(seconds):
        return f"no answer within {seconds:g} s"
    if found:
        return found[0]
    return None


def _reason(said: str) -> str:
    """The line of an error that tells why."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if _LAST_WORD in lines[:-1]:
        return lines[lines.index(_LAST_WORD) + 1].rstrip(".")
    if lines:
        return lines[0].rstrip(".")
    return "it said nothing"


def _advice(device: torch.device, problem: str) -> str:
    if "shared memory" in problem or "/dev/shm" in problem:
        return "/dev/shm is too small: raise cluster.shm"
    if device.type != "cuda":
        return "Name the network that joins the nodes in cluster.env: GLOO_SOCKET_IFNAME"
    return (
        "Name the network that joins the nodes in cluster.env: NCCL_SOCKET_IFNAME, and "
        "NCCL_IB_DISABLE=1 where there is no InfiniBand; NCCL_DEBUG=INFO says more"
    )
