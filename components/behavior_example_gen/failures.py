"""What an ingestion that cannot go on says, and what it leaves behind: nothing."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from components import beam_workers

# As the C library, Arrow and TensorFlow word ENOSPC and EDQUOT.
_FULL = ("No space left on device", "[Errno 28]", "Disk quota exceeded", "[Errno 122]")


class IngestError(RuntimeError):
    """An ingestion that stopped for a reason outside of the data; the message says what to do."""


@contextlib.contextmanager
def whole_or_nothing(outputs: Sequence[str], where: str) -> Iterator[None]:
    """Removes outputs that are not complete, and turns a full disk or a dead worker into advice.

    Args:
      outputs: files and folders that the block fills.
      where: the folder that they lie in, for the message.

    Raises:
      IngestError: the disk is full, or a worker process died. Other errors pass as they are.
    """
    try:
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
        if beam_workers.DIED in str(error):
            raise IngestError(beam_workers.DIED + " Nothing was published.") from error
        raise


def _remove(output: Path) -> None:
    """Removes an output, and what is staged beside it (components/behavior_example_gen/writing.py)."""
    for staged in output.parent.glob(f"{output.name}.staged-*"):
        staged.unlink(missing_ok=True)
    if output.is_dir():
        shutil.rmtree(output, ignore_errors=True)
    else:
        output.unlink(missing_ok=True)
