"""A small ranker and the real one with random weights, exported once for the whole folder."""

from __future__ import annotations

import pytest

from tests.serving import fake_ranker as fake

import tensorflow as tf  # isort: skip


@pytest.fixture(scope="session", params=["fake", "seminar"])
def exported(request, tmp_path_factory):
    """(folder, model, signatures)."""
    root = tmp_path_factory.mktemp("export")
    transform = fake.write_vocabularies(root / "transform")
    model = fake.export(root / "model", transform, seed=3, kind=request.param)
    return root / "model", model, tf.saved_model.load(str(root / "model")).signatures


@pytest.fixture(scope="session")
def call():
    """Calls a loaded signature: arrays by name -> arrays by name."""

    def made(signature, arrays):
        return {k: v.numpy() for k, v in signature(**{k: tf.constant(v) for k, v in arrays.items()}).items()}

    return made
