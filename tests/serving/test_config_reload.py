"""Other models while the server runs: HandleReloadConfigRequest, with the real server's statuses."""

from __future__ import annotations

import shutil

import grpc
import numpy as np
import pytest

from seminar_tf.export import versions
from serving.client import Client, ServingError
from serving.model_manager import ModelManager
from serving.options import ModelSource, ServerOptions
from serving.server import Server
from tests.serving import fake_ranker as fake

from tensorflow_serving.apis import model_management_pb2, model_pb2, model_service_pb2_grpc  # isort: skip

Code = grpc.StatusCode


@pytest.fixture(scope="module")
def folders(exported, tmp_path_factory):
    """Folder of models: `a` with versions 1 and 2, `b` with 7, `empty`, and `broken` with a 1 that does not load."""
    root = tmp_path_factory.mktemp("models")
    versions.publish(exported[0] / "one", root / "a", 1)
    versions.publish(exported[0] / "two", root / "a", 2)
    versions.publish(exported[0] / "two", root / "b", 7)
    (root / "empty").mkdir()
    (root / "broken" / "1").mkdir(parents=True)
    (root / "broken" / "1" / "saved_model.pb").write_bytes(b"not a graph")
    return root


@pytest.fixture
def server(folders):
    options = ServerOptions(port=0, poll_s=3600.0, warm_up=False)
    with Server((ModelSource("a", str(folders / "a")),), options) as running:
        yield running


@pytest.fixture
def reload(server, folders):
    """Sends a configuration: model name -> settings; "like" names another model's folder."""
    with grpc.insecure_channel(server.address) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)

        def send(**models):
            request = model_management_pb2.ReloadConfigRequest()
            request.config.model_config_list.SetInParent()
            for name, settings in models.items():
                config = request.config.model_config_list.config.add(name=name, model_platform="tensorflow")
                config.base_path = str(folders / settings.get("like", name))
                if "all" in settings:
                    config.model_version_policy.all.SetInParent()
                if "specific" in settings:
                    config.model_version_policy.specific.versions.extend(settings["specific"])
                for label, version in settings.get("labels", {}).items():
                    config.version_labels[label] = version
                for field, value in settings.get("fields", {}).items():
                    setattr(config, field, value)
            stub.HandleReloadConfigRequest(request, timeout=120)

        yield send


def predict(server, model, **choice):
    with Client(server.address, model, timeout_s=120) as client:
        return client.predict(fake.batch(np.random.default_rng(0), 1, 3, 2), "rank_indexed", **choice)


def states(server, model):
    with Client(server.address, model, timeout_s=120) as client:
        return client.model_states()


def test_models_are_added_changed_and_removed(server, reload):
    assert predict(server, "a").version == 2
    reload(a={"all": True}, b={})
    assert predict(server, "b").version == 7
    assert states(server, "a") == {1: 30, 2: 30}
    reload(a={"specific": [1]})
    assert predict(server, "a").version == 1
    with pytest.raises(ServingError, match=r"Latest\(b\). Models served here: a") as caught:
        predict(server, "b")
    assert caught.value.code == Code.NOT_FOUND
    assert states(server, "b") == {7: 50}
    reload(b={})
    assert predict(server, "b").version == 7
    assert server.models.ready()
    reload()
    assert server.models.loaded() == []


def test_labels_need_loaded_versions(server, reload):
    with pytest.raises(grpc.RpcError) as caught:
        reload(a={"labels": {"stable": 1}})
    assert caught.value.code() == Code.FAILED_PRECONDITION
    assert 'label "stable" is given to version 1 of model a' in caught.value.details()
    assert states(server, "a") == {2: 30}, "nothing was changed"
    reload(a={"all": True})
    reload(a={"all": True, "labels": {"stable": 1, "canary": 2}})
    assert (predict(server, "a", label="stable").version, predict(server, "a", label="canary").version) == (1, 2)
    reload(a={"all": True, "labels": {"stable": 2}})
    assert predict(server, "a", label="stable").version == 2
    with pytest.raises(ServingError) as caught_label:
        predict(server, "a", label="canary")
    assert caught_label.value.code == Code.INVALID_ARGUMENT


def test_new_labels_ahead_of_their_versions_where_allowed(folders):
    models = Server(
        (ModelSource("a", str(folders / "a"), version_labels={"stable": 2}),),
        ServerOptions(port=0, poll_s=3600.0, warm_up=False, allow_labels_of_unavailable_models=True),
    ).models
    models.refresh()
    new = ModelSource("a", str(folders / "a"), version_labels={"stable": 2, "next": 3})
    models.reconfigure((new,))
    moved = ModelSource("a", str(folders / "a"), version_labels={"stable": 3, "next": 3})
    with pytest.raises(Exception, match='label "stable" is given to version 3'):
        models.reconfigure((moved,))
    models.close()


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ({"a": {"fields": {"base_path": "a"}}}, "base_path is 'a', expected an absolute path"),
        ({"a": {"fields": {"model_platform": "torch"}}}, "model_platform is 'torch'"),
        ({"a": {}, "b": {"fields": {"name": "a"}}}, "listed twice"),
        ({"a": {"specific": [-1]}}, "expected one or more version numbers"),
    ],
)
def test_bad_configurations_change_nothing(server, reload, models, message):
    with pytest.raises(grpc.RpcError) as caught:
        reload(**models)
    assert caught.value.code() == Code.INVALID_ARGUMENT
    assert message in caught.value.details()
    assert predict(server, "a").version == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [("empty", "no numbered version"), ("absent", "is not there"), ("broken", "does not load")],
)
def test_a_new_model_that_does_not_come_up(server, reload, name, message):
    with pytest.raises(grpc.RpcError) as caught:
        reload(a={}, **{name: {}})
    assert caught.value.code() == Code.UNKNOWN
    assert f"1 model(s) did not become available: {name}" in caught.value.details()
    assert message in caught.value.details()
    assert predict(server, "a").version == 2
    assert not server.models.ready(), "the change stays, and the model is waited for"


def test_a_version_wanted_again_while_it_still_answers(server, reload):
    with server.models.lease(model_pb2.ModelSpec(name="a")) as model:
        reload(a={"specific": [1]})
        assert states(server, "a") == {2: 40, 1: 30}
        reload(a={"specific": [2]})
        assert states(server, "a") == {2: 30, 1: 50}
        assert model.run("rank_indexed", fake.batch(np.random.default_rng(0), 1, 3, 2), ("score_click",))
    assert predict(server, "a").version == 2


def test_what_was_complained_of_is_said_once(server, folders, tmp_path, caplog):
    shutil.copytree(folders / "a" / "1", tmp_path / "a" / "1")
    server.models.reconfigure((ModelSource("a", str(tmp_path / "a"), policy="specific", versions=(1, 5)),))
    for _ in range(3):
        server.models.refresh()
    assert [r.getMessage() for r in caplog.records if "versions [5]" in r.getMessage()] == [
        f"a: versions [5] of the policy are not under {tmp_path / 'a'}."
    ]


def test_a_loaded_version_stays_when_its_folder_moves(tmp_path):
    class Loaded:
        def __init__(self, path):
            self.path = path

        def close(self):
            pass

    for folder in ("old/3", "new/3", "new/4"):
        (tmp_path / folder).mkdir(parents=True)
    models = ModelManager((ModelSource("a", str(tmp_path / "old")),), lambda name, version, path: Loaded(path))
    models.refresh()
    models.reconfigure((ModelSource("a", str(tmp_path / "new"), num_versions=2),))
    for version, folder in ((3, "old/3"), (4, "new/4")):
        spec = model_pb2.ModelSpec(name="a")
        spec.version.value = version
        with models.lease(spec) as model:
            assert model.path == tmp_path / folder
