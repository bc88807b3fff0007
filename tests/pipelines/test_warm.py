"""What a PSU leaves for a later one: written, checked and read back, without any training."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pipelines.trainers import warm
from seminar_tf.config import ContinuousConfig, PipelineConfig
from seminar_tf.data.dataset import DatasetSpec
from seminar_tf.export.ranker_module import served_variables
from seminar_tf.features.vocabulary import vocabulary_path
from seminar_tf.models.id_rows import SPACES
from seminar_tf.models.warm_start import WarmStartError
from tests.models import toy

SPEC = DatasetSpec((1,), numeric=("price", "year"))
CONFIG = PipelineConfig(model=toy.CONFIG)


def write_vocabularies(root, backwards=False):
    """Vocabularies of toy.SIZES, in one order or the other; two OOV buckets each."""
    for space, (name, first) in SPACES.items():
        entries = [f"{space}-{n}" for n in range(getattr(toy.SIZES, space) - first - 2)]
        path = vocabulary_path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(entries[::-1] if backwards else entries) + "\n", encoding="utf-8")
    return str(root)


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """A PSU and its artifact's folder."""
    root = tmp_path_factory.mktemp("earlier")
    model = toy.psu(seed=5)
    warm.write_psu(root / "model", model, SPEC.numeric, write_vocabularies(root / "graph"))
    return model, str(root / "model")


def test_a_psu_goes_on_from_an_artifact(earlier, tmp_path):
    old, folder = earlier
    assert warm.usable(folder, "psu", CONFIG, SPEC) == folder
    model = toy.psu(seed=7)
    warm.fill_psu(model, folder, write_vocabularies(tmp_path, backwards=True))
    attributes, items = model.item_channels.attributes, old.item_channels.attributes
    for new, was, first in (
        (attributes.ids, items.ids, 1),
        (attributes.embedding, items.embedding, 1),
        (model.query_encoder.ids, old.query_encoder.ids, 2),
        (model.token_embedding, old.token_embedding, 1),
    ):
        rows = was.embeddings.numpy()
        wanted = np.concatenate([rows[:first], rows[first:-2][::-1], rows[-2:]])
        np.testing.assert_array_equal(new.embeddings, wanted)
    tables = {id(layer.embeddings) for layer in (attributes.ids, attributes.embedding)}
    tables |= {id(model.query_encoder.ids.embeddings), id(model.token_embedding.embeddings)}
    for new, was in zip(served_variables(model), served_variables(old)):
        if id(new) not in tables:
            np.testing.assert_array_equal(new, was, err_msg=new.name)


@pytest.mark.parametrize(
    ("config", "spec", "message"),
    [
        (PipelineConfig(model=dataclasses.replace(toy.CONFIG, heads=4)), SPEC, "model.heads was 2 and is 4"),
        (CONFIG, DatasetSpec((1,)), "numeric item columns were price, year and are none"),
    ],
)
def test_another_architecture_is_refused_or_cold(earlier, config, spec, message):
    _, folder = earlier
    with pytest.raises(WarmStartError, match=rf"warm start of psu from .*{message}.*Set continuous.warm_start to off"):
        warm.usable(folder, "psu", config, spec)
    cold = dataclasses.replace(config, continuous=ContinuousConfig(other_architecture="cold"))
    assert warm.usable(folder, "psu", cold, spec) == ""


def test_a_model_that_is_gone_or_older_than_this_is_told(tmp_path):
    for stage in ("psu", "seminar"):
        with pytest.raises(WarmStartError, match=r"No such file|does not exist"):
            warm.usable(str(tmp_path), stage, CONFIG, SPEC)
    assert warm.usable("", "psu", CONFIG, SPEC) == ""


def test_item_channels_that_the_data_no_longer_fill_are_told(earlier, tmp_path):
    _, folder = earlier
    model = toy.psu(channels=("text", "attributes"))
    with pytest.raises(WarmStartError, match="item channels were text, image, attributes and are text, attributes"):
        warm.fill_psu(model, folder, write_vocabularies(tmp_path))
