"""Every bad request of the table gets its status and message, and nobody beside it notices."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import grpc
import numpy as np
import pytest

from seminar_tf.export import versions
from serving import protos
from serving.options import ModelSource, ServerOptions
from serving.server import Server
from tests.serving import bad_requests as table
from tests.serving.request_bytes import call, predict, scores

PAGE = Path(__file__).resolve().parents[2] / "docs" / "bad-requests.md"


@pytest.fixture(scope="module")
def address(exported, tmp_path_factory):
    base = tmp_path_factory.mktemp("bad") / "ranker"
    versions.publish(exported[0] / "seminar", base, 5)
    with Server((ModelSource("ranker", str(base), version_labels=table.LABELS),), ServerOptions(port=0)) as running:
        yield running.address


@pytest.fixture(scope="module")
def channel(address):
    with grpc.insecure_channel(address) as opened:
        yield opened


@pytest.fixture(scope="module")
def neighbour(channel):
    """A good request and what it is answered when it is alone."""
    request = predict()()
    return request, call(channel, protos.PREDICT, request, 120).result()


def same(left: bytes, right: bytes) -> None:
    found, expected = scores(left), scores(right)
    assert set(found) == set(expected)
    for name, values in expected.items():
        assert found[name].shape == values.shape
        assert found[name].tobytes() == values.tobytes(), name


@pytest.mark.parametrize("bad", table.ALL, ids=lambda bad: bad.name)
def test_answer_and_neighbours(channel, neighbour, bad):
    good, alone = neighbour
    request = bad.build()
    before = [call(channel, protos.PREDICT, good, 120) for _ in range(2)]
    future = call(channel, bad.method, request, bad.timeout_s)
    after = [call(channel, protos.PREDICT, good, 120) for _ in range(2)]
    if bad.code == grpc.StatusCode.OK:
        answer = future.result()
        assert all(np.isfinite(values).all() for values in scores(answer).values())
        if bad.same_as is not None:
            same(answer, call(channel, protos.PREDICT, bad.same_as(), 120).result())
    else:
        error = future.exception()
        assert error is not None, "it was answered"
        assert error.code() == bad.code, error.details()
        assert re.search(bad.message, error.details(), re.DOTALL), error.details()
    for future in before + after:
        same(future.result(), alone)


def test_there_are_enough_and_no_two_share_a_name():
    assert len(table.REFUSED) >= 40
    assert len({bad.name for bad in table.ALL}) == len(table.ALL)


def test_the_page_lists_every_request_with_its_status():
    rows = [[cell.strip() for cell in line.split(" | ")] for line in PAGE.read_text(encoding="utf-8").splitlines()]
    found = {row[0].lstrip("| "): row for row in rows if len(row) >= 3}
    for bad in table.ALL:
        row = found[bad.name]
        assert bad.code.name in row
        if bad.code != grpc.StatusCode.OK and bad.name != "a deadline that is over":
            shown = row[3].rstrip("| ").replace("\\|", "|")
            assert shown.endswith(" ...") or re.search(bad.message, shown), shown


def test_bytes_that_are_no_http(address, channel, neighbour):
    host, port = address.rsplit(":", 1)
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 100, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(garbage)
    good, alone = neighbour
    same(call(channel, protos.PREDICT, good, 120).result(), alone)


def test_a_model_that_fails_says_nothing_of_the_request(address, channel, monkeypatch, caplog):
    from serving import validation

    def broken(*arguments):
        raise KeyError("secret of the request")

    monkeypatch.setattr(validation, "inputs", broken)
    error = call(channel, protos.PREDICT, predict()(), 120).exception()
    assert error.code() == grpc.StatusCode.INTERNAL
    assert "secret" not in error.details()
    assert "its log says why" in error.details()
    assert any("secret" in (record.exc_text or str(record.exc_info)) for record in caplog.records)
