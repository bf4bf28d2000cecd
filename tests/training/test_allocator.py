"""Memory that a step frees stays with the process, so that the next one need not fault it in
again."""

import subprocess
import sys

import pytest

STEPS = """
import ctypes, sys, tempfile
from pathlib import Path

from modelyard.training.allocator import M_MMAP_THRESHOLD, M_TRIM_THRESHOLD

c = ctypes.CDLL(None)
c.malloc.restype, c.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
c.free.argtypes = [ctypes.c_void_p]
c.sbrk.restype, c.sbrk.argtypes = ctypes.c_void_p, [ctypes.c_ssize_t]
c.mallopt(M_MMAP_THRESHOLD, 32 * 2**20)
c.mallopt(M_TRIM_THRESHOLD, 2**20)  # about where glibc itself ends up
if "trained" in sys.argv:
    from modelyard.training.loop import Trainer
    from tests.unit.test_loop import Line, settings

    folder = Path(tempfile.mkdtemp())
    Trainer(0, settings(epochs=1)).fit(Line(), folder, folder)

def step():
    places = [c.malloc(4 * 2**20) for _ in range(10)]
    end = c.sbrk(0)
    for place in reversed(places):
        c.free(place)
    return end - c.sbrk(0)

print(max(step() for _ in range(20)))
"""


def given_back(*arguments: str) -> int:
    """The most bytes that a step, which uses 40 MiB, gives back to the system."""
    command = [sys.executable, "-c", STEPS, *arguments]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_after_a_training_has_begun_a_step_keeps_the_memory_that_it_freed():
    assert given_back() > 30 * 2**20
    assert given_back("trained") < 4 * 2**20
