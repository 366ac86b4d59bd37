"""How the C library treats memory that a program gives back."""

from __future__ import annotations

import ctypes
import platform

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3
"""Parameters of glibc's mallopt(3)."""


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for the next tensor; return whether it could be asked.

    Without this every large tensor is mapped and unmapped anew, and the kernel zeroes its
    pages each time: 10 to 20 % of the time of training a small network on a CPU.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    settings = ((MMAP_THRESHOLD, 1 << 30), (TRIM_THRESHOLD, 1 << 30), (TOP_PAD, 1 << 26))
    return all([library.mallopt(name, value) == 1 for name, value in settings])


def release_freed_memory() -> None:
    """Give freed memory back to the system: between jobs, of which the next may need less."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
