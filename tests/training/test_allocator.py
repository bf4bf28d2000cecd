from __future__ import annotations

import subprocess
import sys

import pytest

PASSES = """
import resource, sys, torch
from modelyard.training.allocator import keep_freed_memory
if "keep" in sys.argv:
    keep_freed_memory()
def step():
    kept = [torch.ones(1024, 1024) for _ in range(10)]
for _ in range(10):
    step()
begun = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begun)
"""


def faults(*arguments: str) -> int:
    return int(subprocess.run([sys.executable, "-c", PASSES, *arguments], check=True, capture_output=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_a_step_finds_the_memory_that_the_last_one_freed():
    assert faults() > 20 * 1024
    assert faults("keep") < 100
