"""Memory that a training on a CPU frees at the end of a step and wants again in the next."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
LARGEST_MMAP_THRESHOLD = 32 * 1024**2
NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """From here on glibc keeps what this process frees for its next allocations; other C libraries
    are not changed.

    Without it the activations' memory goes back to the system after most steps and is faulted in
    page by page in the next: a small network loses a tenth of its steps a second.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        # A threshold that is set stays: by itself glibc moves it with what is freed. 32 MB are the
        # most that older versions take.
        mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
        mallopt(M_TRIM_THRESHOLD, NEVER)
