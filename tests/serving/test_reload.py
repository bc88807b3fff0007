"""Versions that come and go while requests run: none fails, none is answered by a half-copied version."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import grpc
import numpy as np
import pytest

from seminar_tf.export import versions
from serving.client import Client, ServingError
from serving.model_versions import fingerprint
from serving.options import ModelSource, ServerOptions
from serving.server import Server, ServerError
from tests.serving import fake_ranker as fake

from tensorflow_serving.apis import model_pb2  # isort: skip


@pytest.fixture
def base(exported, tmp_path):
    versions.publish(exported[0] / "one", tmp_path / "ranker", 1)
    return tmp_path / "ranker"


def serve(base: Path, **options) -> Server:
    return Server((ModelSource("ranker", str(base)),), ServerOptions(port=0, poll_s=3600.0, **options))


def predict(client: Client, **choice):
    return client.predict(fake.batch(np.random.default_rng(0), 1, 3, 2), "rank_indexed", **choice)


def test_swaps_under_load_fail_no_request(exported, base):
    root, _ = exported
    failures, answered, stop = [], set(), threading.Event()

    def load() -> None:
        with Client(server.address, max_attempts=1) as client:
            while not stop.is_set():
                try:
                    answered.add(predict(client).version)
                except ServingError as error:
                    failures.append(error)

    with serve(base) as server, Client(server.address) as client:
        threads = [threading.Thread(target=load) for _ in range(3)]
        for thread in threads:
            thread.start()
        scores = {1: predict(client).outputs["score_click"]}
        for version in (2, 3):
            versions.publish(root / ("two" if version == 2 else "one"), base, version)
            server.models.refresh()
            scores[version] = predict(client).outputs["score_click"]
            assert predict(client).version == version
        stop.set()
        for thread in threads:
            thread.join()
        assert client.model_states() == {3: 30, 2: 50, 1: 50}
    assert failures == []
    assert answered <= {1, 2, 3} and 3 in answered
    np.testing.assert_array_equal(scores[1], scores[3])
    assert np.abs(scores[1] - scores[2]).max() > 1e-3


def test_half_copied_version_is_not_loaded(exported, base):
    shutil.copytree(exported[0] / "two", base / "2.part")
    (base / "2.part" / "variables" / "variables.index").unlink()
    with serve(base) as server, Client(server.address) as client:
        assert predict(client).version == 1
        assert client.model_states() == {1: 30}


def test_a_broken_version_leaves_the_old_one_and_is_tried_again_when_mended(exported, base, caplog):
    with serve(base) as server, Client(server.address) as client:
        (base / "2").mkdir()
        (base / "2" / "saved_model.pb").write_bytes(b"not a graph")
        server.models.refresh()
        server.models.refresh()
        assert predict(client).version == 1
        assert client.model_states() == {2: 50, 1: 30}
        assert len([r for r in caplog.records if "version 2 cannot be served" in r.getMessage()]) == 1
        shutil.rmtree(base / "2")
        versions.publish(exported[0] / "two", base, 2)
        server.models.refresh()
        assert predict(client).version == 2


def test_a_version_whose_warm_up_fails_is_not_published(exported, base):
    versions.publish(exported[0] / "two", base, 2)
    (base / "2" / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"damaged" * 20)
    with serve(base) as server, Client(server.address) as client:
        with pytest.raises(ServingError) as caught:
            predict(client)
        assert caught.value.code == grpc.StatusCode.NOT_FOUND
        assert client.model_states() == {2: 50}


def test_rollback_by_removing_the_newest_version(exported, base):
    versions.publish(exported[0] / "two", base, 2)
    with serve(base) as server, Client(server.address) as client:
        assert predict(client).version == 2
        shutil.rmtree(base / "2")
        server.models.refresh()
        assert predict(client).version == 1


def test_an_empty_folder_gets_its_first_version_later(exported, tmp_path):
    (tmp_path / "ranker").mkdir()
    options = ServerOptions(port=0, poll_s=0.05)
    with Server((ModelSource("ranker", str(tmp_path / "ranker")),), options) as server:
        assert not server.models.ready()
        with Client(server.address) as client:
            with pytest.raises(ServingError) as caught:
                predict(client)
            assert caught.value.code == grpc.StatusCode.NOT_FOUND
            versions.publish(exported[0] / "one", tmp_path / "ranker", 1)
            for _ in range(200):
                if server.models.ready():
                    break
                threading.Event().wait(0.05)
            assert predict(client).version == 1


def test_the_drop_waits_for_calls_that_run(exported, base):
    spec = model_pb2.ModelSpec(name="ranker")
    with serve(base) as server:
        with server.models.lease(spec) as old:
            versions.publish(exported[0] / "two", base, 2)
            server.models.refresh()
            arrays = fake.batch(np.random.default_rng(0), 1, 3, 2)
            assert old.run("rank_indexed", arrays, ("score_click",))[0].shape == (1, 2)
            assert [(v, s.name) for v, s, _ in server.models.states(spec)] == [(2, "AVAILABLE"), (1, "UNLOADING")]
        assert [(v, s.name) for v, s, _ in server.models.states(spec)] == [(2, "AVAILABLE"), (1, "END")]


@pytest.mark.parametrize("gone", ["variables", "assets"])
def test_a_folder_that_is_removed_while_it_is_looked_at(base, monkeypatch, gone):
    """An operator removes a version between the moment its folder is listed and the moment it is read."""
    (base / "1/assets").mkdir(exist_ok=True)
    (base / "1/assets/words").write_text("one")
    scandir = os.scandir

    def slow(path):
        if not isinstance(path, int) and Path(path).name == gone:
            shutil.rmtree(path)
        return scandir(path)

    whole = fingerprint(base / "1")
    monkeypatch.setattr(os, "scandir", slow)
    left = fingerprint(base / "1")
    assert {name for name, *_ in left} == {name for name, *_ in whole if not name.startswith(f"{gone}/")}
    assert any(name.startswith(f"{gone}/") for name, *_ in whole) and set(left) < set(whole)


def test_a_link_that_leads_elsewhere_is_another_fingerprint(base):
    """As a mounted volume replaces what it holds."""
    shutil.move(base / "1/variables", base.parent / "first")
    shutil.copytree(base.parent / "first", base.parent / "second")
    (base / "1/variables").symlink_to(base.parent / "first")
    before = fingerprint(base / "1")
    assert fingerprint(base / "1") == before
    (base / "1/variables").unlink()
    (base / "1/variables").symlink_to(base.parent / "second")
    # The copy has its original's times.
    os.utime(base.parent / "second", (1, 1))
    assert fingerprint(base / "1") != before


def test_a_taken_port_is_an_error(base):
    with serve(base) as server:
        source = ModelSource("ranker", str(base))
        with pytest.raises(ServerError, match="cannot listen"):
            Server((source,), ServerOptions(port=server.port)).start()
