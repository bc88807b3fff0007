"""When freed memory goes back to the kernel: not between training steps or calls, but after a dropped model."""

from __future__ import annotations

import ctypes
import logging
import os

logger = logging.getLogger(__name__)

# Parameters of mallopt, from glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
_KEPT = 1 << 30
_GROWTH = 64 << 20


def keep_freed_memory(arenas: int | None = None) -> bool:
    """Stops glibc from handing each large tensor's pages back to the kernel when the tensor is freed.

    By default it maps every block of more than 32 MiB anew, and trims the heap after almost every large free. The
    kernel must then clear each page again, in the middle of the next step. From now on the process keeps up to 1 GiB of
    free memory. Whoever sets one of glibc's own MALLOC_ variables has chosen already and is left alone.

    Args:
      arenas: heaps that threads share; None leaves glibc's 8 a core. Each keeps what it once held, in pieces: where
        models come and go, fewer heaps fragment less. Threads that have one already stay with it.

    Returns:
      Whether the setting was made; False under another C library, which is no error.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        logger.info("no mallopt in this C library: its allocator stays as it is")
        return False
    settings = [(_MMAP_MAX, 0), (_TRIM_THRESHOLD, _KEPT), (_TOP_PAD, _GROWTH)]
    if arenas is not None:
        settings.append((_ARENA_MAX, arenas))
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)


def return_freed_memory() -> bool:
    """Hands free pages back to the kernel, once: what a dropped model leaves would else stay with the process.

    Returns:
      Whether anything was handed back; False also under another C library than glibc.
    """
    try:
        return ctypes.CDLL(None).malloc_trim(0) == 1
    except (AttributeError, OSError):
        return False
