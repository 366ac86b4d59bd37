"""What the C library does with memory that a program frees."""

from __future__ import annotations

import ctypes
import platform

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3
"""Parameters of glibc's mallopt(3)."""


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for the next tensor; return whether it could be asked.

    Without this, what is freed at the top of the heap goes back to the system, and the kernel
    zeroes its pages when they are asked for again. Measured on an AMD EPYC by
    `benchmarks.speed.scale`: a bare training step of the small CNN has 1 page fault in place of 925
    and takes 4.6 ms of the processor in place of 6.5, one of `resnet_20` 243 ms in place of 270,
    and scoring 4,096 images with `resnet_20`, 1,024 at a time, 2.2 s in place of 6.6. An epoch of
    `Plain` gains nothing, because something that stays happens to lie at the top. Workers and the
    command line call this, as their processes are the package's own.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    settings = ((MMAP_THRESHOLD, 1 << 30), (TRIM_THRESHOLD, 1 << 30), (TOP_PAD, 1 << 26))
    return all([library.mallopt(name, value) == 1 for name, value in settings])


def release_freed_memory() -> None:
    """Give freed memory back to the system, between jobs: the next may need less."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


class _HeapState(ctypes.Structure):
    """What glibc's mallinfo2(3) says of the heap."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
            "fordblks", "keepcost",
        )
    )  # fmt: skip


def count_kept_bytes() -> int:
    """Return how much freed memory this process keeps; 0 where the C library does not say it."""
    if platform.libc_ver()[0] != "glibc":
        return 0
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallinfo2"):  # before glibc 2.33
        return 0
    library.mallinfo2.restype = _HeapState
    return int(library.mallinfo2().fordblks)
