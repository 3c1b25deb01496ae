"""Freed memory kept for the next allocation."""

import ctypes
import sys

M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1  # from glibc's malloc.h
LARGEST = 2**30  # bytes


def keep_freed_memory() -> None:
    """Let blocks of up to LARGEST bytes be reused instead of going back to the kernel. On glibc; elsewhere nothing.

    A network's activations are blocks of tens of megabytes, freed and allocated again at every batch: glibc would map
    each anew, and the kernel would clear its pages one fault at a time.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST)
        libc.mallopt(M_TRIM_THRESHOLD, LARGEST)
