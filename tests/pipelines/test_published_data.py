"""KuaiSAR's files by the adapter, and on through the pipeline's first components to ids."""

from __future__ import annotations

from pathlib import Path

import seminar_tf  # noqa: F401  (settles Keras before TensorFlow loads)

# isort: split
import tensorflow as tf
from tfx.types import artifact_utils

from pipelines.local_runner import LocalRunner
from pipelines.pipeline import create_pipeline
from seminar_tf.config import PipelineConfig
from seminar_tf.config_io import from_yaml
from seminar_tf.data import kuaisar
from seminar_tf.features.vocabulary import read_vocabulary
from tests.data import published

CONFIGS = Path(__file__).parents[2] / "pipelines" / "configs"


def test_kuaisar_reaches_the_end_of_transform(tmp_path):
    summary = kuaisar.prepare(published.write_kuaisar(tmp_path / "src", users=6), tmp_path / "data")
    overrides = [f"data.path={tmp_path / 'data'}", f"root={tmp_path / 'run'}", "data.partitions=1"]
    config = from_yaml(PipelineConfig, CONFIGS / "kuaisar.yaml", overrides)
    runner = LocalRunner(until="Transform")
    runner.run(create_pipeline(config))
    made = {result.name: result.outputs for result in runner.results}
    (examples,) = made["BehaviorExampleGen"]["examples"]
    assert examples.get_int_custom_property("rejected_total") == 0
    assert examples.get_int_custom_property("accepted_events") == summary["rows"]["events"]
    (graph,) = made["Transform"]["transform_graph"]
    words = set(read_vocabulary(graph.uri, "tokens"))
    assert words == {str(n) for n in range(1, 30)}, "queries and captions share the data's word ids"
    assert "777" in read_vocabulary(graph.uri, "items")
    (ids,) = made["Transform"]["transformed_examples"]
    targets = {split: 0 for split in ("train", "eval", "test")}
    for split in targets:
        files = tf.io.gfile.glob(artifact_utils.get_split_uri([ids], split) + "/*")
        for record in tf.data.TFRecordDataset(files, compression_type="GZIP"):
            features = tf.train.Example.FromString(record.numpy()).features.feature
            targets[split] += len(features["target_item_id"].int64_list.value)
    assert min(targets.values()) >= 6, "every user is long enough for all three splits"
