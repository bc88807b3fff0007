"""Writes docs/bad-requests.md from what a server answers.

python -m tests.serving.bad_requests_page docs/bad-requests.md
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import grpc

from seminar_tf.export import versions
from serving.options import ModelSource, ServerOptions
from serving.server import Server
from tests.serving import fake_ranker as fake
from tests.serving.bad_requests import LABELS, REFUSED, SCORED
from tests.serving.request_bytes import call

Code = grpc.StatusCode


def _page(channel: grpc.Channel) -> str:
    """The page, from what the server answers now."""
    lines = [_HEAD, "| request | method | status | message |", "| --- | --- | --- | --- |"]
    for bad in REFUSED:
        future = call(channel, bad.method, bad.build(), bad.timeout_s)
        error = future.exception()
        code, text = (Code.OK, "") if error is None else (error.code(), _one_line(error.details()))
        lines.append(f"| {bad.name} | {bad.method.rpartition('/')[2]} | {code.name} | {text} |")
    lines += ["", _SCORED_HEAD, "| request | status | scores |", "| --- | --- | --- |"]
    for bad in SCORED:
        error = call(channel, bad.method, bad.build(), bad.timeout_s).exception()
        lines.append(f"| {bad.name} | {(Code.OK if error is None else error.code()).name} | {bad.message} |")
    return "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    shown = " ".join(text.split()).replace("|", "\\|")
    return shown if len(shown) <= 240 else shown[:240] + " ..."


_HEAD = """# Bad requests

What the embedded server answers to requests that are wrong, as it answered when this page was written
(`python -m tests.serving.bad_requests_page docs/bad-requests.md`; a small model, default limits). The requests are in
`tests/serving/bad_requests.py`. A test sends each of them while good requests run beside it: the status and the message
are these, the server goes on, and the good requests' scores stay the same to the last bit.
"""
_SCORED_HEAD = """## Odd, but not wrong

These get scores. Ids and times out of range are put in range inside the model, so that it is the same on TensorFlow
Serving, which checks no values.
"""


def main(target: str) -> None:
    """Writes the page."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        fake.export(root / "seminar", fake.write_vocabularies(root / "transform"), seed=1, kind="seminar")
        versions.publish(root / "seminar", root / "ranker", 5)
        source = ModelSource("ranker", str(root / "ranker"), version_labels=LABELS)
        with Server((source,), ServerOptions(port=0)) as server, grpc.insecure_channel(server.address) as channel:
            Path(target).write_text(_page(channel), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
