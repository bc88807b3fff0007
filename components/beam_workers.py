"""Beam's local worker processes: one that dies fails the pipeline.

As Beam is, its runner waits for ever for what a dead worker was to answer: the thread that started the worker
sees it end and tells nobody. With `watch`, it answers in the worker's place, with an error.
"""

from __future__ import annotations

import threading

from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability.fn_api_runner import worker_handlers

_ASK_SECONDS = 0.2

DIED = (
    "a Beam worker process died before its work was done. Was it killed, as happens where memory runs "
    "out? The system's log says (dmesg). Fewer workers (beam.workers) or more partitions (data.partitions) need "
    "less memory. Run again: the result will be the same."
)


def watch() -> None:
    """Makes every pipeline that this process runs on worker processes end with an error when one of them dies.

    The message of the error that the pipeline raises holds `DIED`. May be called again.
    """
    worker_handlers.WorkerHandler.register_environment(python_urns.SUBPROCESS_SDK, bytes)(WatchedWorker)


class WatchedWorker(worker_handlers.SubprocessSdkWorkerHandler):
    """Beam's handler of a worker process, which notices its end."""

    def start_worker(self) -> None:
        """Starts the worker, and a thread that waits for its end."""
        self._stopping = threading.Event()
        super().start_worker()
        threading.Thread(name="beam_worker_watch", target=self._wait, daemon=True).start()

    def stop_worker(self) -> None:
        """Waits for the worker's end, which is no failure from now on."""
        self._stopping.set()
        super().stop_worker()

    def _wait(self) -> None:
        self.worker_thread.join()
        # The pipeline may still hand out work to the dead worker: all of it fails until the pipeline has seen it.
        while not self._stopping.wait(_ASK_SECONDS):
            self._fail()

    def _fail(self) -> None:
        waiting = self.control_conn._futures_by_id
        for instruction in list(waiting):
            answer = beam_fn_api_pb2.InstructionResponse(instruction_id=instruction, error=DIED)
            future = waiting.pop(instruction, None)
            if future is not None:
                # Not future.abort: whoever reads the worker's data asks for an answer that holds an error.
                future.set(answer)
