"""Store, gateway and the real exported ranker on the embedded server: scores equal a Predict with the same history."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import grpc
import numpy as np
import pytest

from seminar_tf.export.inputs import RankRequest, raw_inputs
from serving.client import Client, ServingError
from serving.gateway.client import GatewayClient
from serving.gateway.events import Event
from serving.gateway.options import GatewayOptions
from serving.gateway.server import Gateway
from tests.serving import fake_ranker as fake

OPTIONS = GatewayOptions(port=0, timeout_s=60.0, default_task="click")
CANDIDATES = ["item3", "item9", "brand new", "item20", "item3", "item1"]
DISTINCT = list(dict.fromkeys(CANDIDATES))


def events(count, seed=0):
    rng = np.random.default_rng(seed)
    return [
        Event(
            f"e{n}", fake.ITEMS[rng.integers(40)], ["", *fake.QUERIES][rng.integers(13)], fake.NOW - 1000 * (count - n)
        )
        for n in range(count)
    ]


def direct(client, history, query="query 2", task="click"):
    """Candidates and scores, best first, of a Predict that brings the history along."""
    pairs = [(event.item_id, event.query, event.timestamp) for event in history]
    request = RankRequest(pairs, DISTINCT, fake.NOW, query, "ann", ["age=young"])
    scores = client.predict(raw_inputs([request])).outputs[f"score_{task}"][0]
    best = sorted(range(len(DISTINCT)), key=lambda n: -scores[n])
    return [DISTINCT[n] for n in best], scores[best]


def same(found, expected):
    assert [item for item, _ in found.items] == expected[0]
    np.testing.assert_allclose([score for _, score in found.items], expected[1], atol=1e-6)


def test_ranking_by_the_history_of_the_store(store, client):
    with Gateway(store, client, OPTIONS) as gateway, GatewayClient(gateway.address, 60.0) as asking:

        def rank(task=""):
            return asking.rank("ann", CANDIDATES, "query 2", ["age=young"], fake.NOW, task=task)

        sent = events(12)
        nothing = rank()
        same(nothing, direct(client, []))
        assert (nothing.history_pairs, nothing.model_name, nothing.model_version) == (0, "ranker", 5)
        # Late ones and repeated ones do not matter.
        asking.append_events("ann", sent[6:])
        asking.append_events("bob", events(9, seed=4))
        asking.append_events("ann", sent[:8])
        full = rank()
        same(full, direct(client, sent))
        assert full.history_pairs == 12
        same(rank("like"), direct(client, sent, task="like"))
        more = [Event("one more", "item9", "query 2", fake.NOW - 1)]
        asking.append_events("ann", more)
        after = rank()
        same(after, direct(client, sent + more))
        assert after.items != full.items and after.history_pairs == 13
        assert asking.delete_user("ann")
        same(rank(), direct(client, []))
        assert asking.rank("bob", CANDIDATES).history_pairs == 9


def test_a_model_that_is_not_there(store, server):
    with (
        Client(server.address, "nobody") as nobody,
        Gateway(store, nobody, OPTIONS) as gateway,
        GatewayClient(gateway.address, 60.0) as asking,
        pytest.raises(ServingError) as caught,
    ):
        asking.rank("ann", CANDIDATES)
    assert caught.value.code == grpc.StatusCode.FAILED_PRECONDITION
    assert "the ranker answers NOT_FOUND" in caught.value.message


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_the_command_ranks_until_sigterm_and_keeps_what_it_has(server, client, redis_server, tmp_path, kind):
    command = [sys.executable, "-m", "seminar_tf.cli.gateway", "--ranker", server.address, "--port", "0"]
    command += ["--metrics-port", "0", "--task", "click", "--timeout", "60", "--label", "stable", "--store", kind]
    command += ["--sqlite-path", str(tmp_path / "histories.db")]
    environment = {**os.environ, "SEMINAR_REDIS_URL": redis_server.url}
    sent = events(5, seed=3)
    for start in range(2):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        try:
            line = process.stdout.readline()
            assert line.startswith("ranking with ranker at"), process.stderr.read()
            with GatewayClient(line.split()[-1], 60.0) as asking:
                assert asking.append_events("ann", sent) == (0 if start else 5)
                found = asking.rank("ann", CANDIDATES, "query 2", ["age=young"], fake.NOW)
                same(found, direct(client, sent))
                assert asking.rank("ann", ["item1"], top=1).model_version == 5
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
            process.communicate()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sqlite-path", "/dev/null/x"], "cannot open /dev/null/x"),
        (["--store", "redis", "--redis-url", "redis://127.0.0.1:1/0"], "no answer from Redis at redis://127.0.0.1:1/0"),
        (["--timeout", "0"], "timeout_s is 0, expected more than 0"),
    ],
)
def test_the_command_says_what_is_wrong(arguments, message):
    from click.testing import CliRunner

    from seminar_tf.cli.main import cli

    found = CliRunner().invoke(cli, ["gateway", *arguments])
    assert found.exit_code == 1 and message in found.output
