"""What an ingestion that cannot go on says, and what it leaves behind: nothing."""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

# As the C library, Arrow and TensorFlow word ENOSPC and EDQUOT.
_FULL = ("No space left on device", "[Errno 28]", "Disk quota exceeded", "[Errno 122]")
# How Beam's runner words the end of a worker process that it did not ask for.
_GONE = "Worker subprocess exited"


class IngestError(RuntimeError):
    """An ingestion that stopped for a reason outside of the data; the message says what to do."""


@contextlib.contextmanager
def whole_or_nothing(outputs: Sequence[str], where: str) -> Iterator[None]:
    """Removes outputs that are not complete, and turns a full disk and a dead worker into advice.

    Args:
      outputs: files and folders that the block fills.
      where: the folder that they lie in, for the message.

    Raises:
      IngestError: the disk is full, or a worker process died. Other errors pass as they are.
    """
    try:
        with _workers_watched():
            yield
    except BaseException as error:
        for output in outputs:
            _remove(Path(output))
        if any(words in str(error) for words in _FULL):
            free = shutil.disk_usage(Path(where).resolve().anchor if not Path(where).exists() else where).free
            raise IngestError(
                f"no space is left on the disk (or in the quota) of {where} or of the state beside it; {free:,} bytes "
                "are free now that the unfinished output is removed. Nothing was published. Free some space and run "
                "again: the result will be the same."
            ) from error
        raise


@contextlib.contextmanager
def _workers_watched() -> Iterator[None]:
    """Ends the block when one of Beam's worker processes dies.

    Beam notes such a death in a thread and waits for the dead worker's answer for ever. Only the main thread can be
    woken from that wait; elsewhere nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    died: list[str] = []
    before = threading.excepthook

    def note(told: threading.ExceptHookArgs) -> None:
        if _GONE in str(told.exc_value):
            died.append(str(told.exc_value))
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        before(told)

    threading.excepthook = note
    try:
        yield
    except KeyboardInterrupt:
        if not died:
            raise
        raise IngestError(
            f"a Beam worker process ended in the middle of its work ({died[0]}): killed, or out of memory. Nothing was "
            "published. Run again, with more memory, more data.partitions or fewer workers if it was the memory: the "
            "result will be the same."
        ) from None
    finally:
        threading.excepthook = before


def _remove(output: Path) -> None:
    """Removes an output, and what is staged beside it (components/behavior_example_gen/writing.py)."""
    for staged in output.parent.glob(f"{output.name}.staged-*"):
        staged.unlink(missing_ok=True)
    if output.is_dir():
        shutil.rmtree(output, ignore_errors=True)
    else:
        output.unlink(missing_ok=True)
