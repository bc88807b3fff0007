"""One exported model and one server for the whole folder: loading TensorFlow and a model takes seconds."""

from __future__ import annotations

import pytest

from seminar_tf.export import versions
from serving.client import Client
from serving.options import ModelSource, ServerOptions
from serving.server import Server
from tests.serving import fake_ranker as fake


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Folder with SavedModels `seminar` (the real ranker), `one` and `two` (fake ones); and the real model."""
    root = tmp_path_factory.mktemp("served")
    transform = fake.write_vocabularies(root / "transform")
    model = fake.export(root / "seminar", transform, seed=1, kind="seminar")
    fake.export(root / "one", transform, seed=1)
    fake.export(root / "two", transform, seed=2)
    return root, model


@pytest.fixture(scope="session")
def server(exported, tmp_path_factory):
    root, _ = exported
    base = tmp_path_factory.mktemp("versions") / "ranker"
    versions.publish(root / "seminar", base, 5)
    source = ModelSource("ranker", str(base), version_labels={"stable": 5, "canary": 6})
    with Server((source,), ServerOptions(port=0, max_columns={"candidate_item_id": 50})) as running:
        yield running


@pytest.fixture
def client(server):
    # TensorFlow prepares each new choice of outputs anew: seconds on a busy machine.
    with Client(server.address, "ranker", timeout_s=60.0) as connected:
        yield connected
