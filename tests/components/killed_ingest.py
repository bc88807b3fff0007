"""Run as `python -m tests.components.killed_ingest DATASET OUT STATE`: dies when the first catalog file is written."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from components.behavior_example_gen import writing
from tests.components.road_helpers import ingest

_write = writing.WriteShard.process


def _write_and_die(self: writing.WriteShard, element: Any) -> Any:
    yield from _write(self, element)
    if self._folder.endswith("catalog"):
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    writing.WriteShard.process = _write_and_die  # type: ignore[method-assign]
    ingest(*(Path(argument) for argument in sys.argv[1:3]), state=Path(sys.argv[3]))
