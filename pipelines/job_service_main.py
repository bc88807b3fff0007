"""Beam's local job service, whose jobs fail when one of their worker processes dies (components/beam_workers.py).

Started by `pipelines.job_service`, which watches over it.
"""

from __future__ import annotations

import logging
import signal
import sys
from types import FrameType

from apache_beam.runners.portability import local_job_service_main

from components import beam_workers


def _end(number: int, frame: FrameType | None) -> None:
    del number, frame
    sys.exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    logging.basicConfig()
    logging.getLogger().setLevel(logging.INFO)
    beam_workers.watch()
    local_job_service_main.run(sys.argv[1:])
