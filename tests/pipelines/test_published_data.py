"""KuaiSAR's files by the adapter, and on through ingestion and Transform to ids."""

from __future__ import annotations

from pathlib import Path

import seminar_tf  # noqa: F401  (settles Keras before TensorFlow loads)

# isort: split
import tensorflow as tf
from tfx.types import artifact_utils

from seminar_tf.config import PipelineConfig
from seminar_tf.config_io import from_yaml
from seminar_tf.data import kuaisar
from seminar_tf.data.dataset import describe
from seminar_tf.features import names
from seminar_tf.features.vocabulary import read_vocabulary
from tests.components.ingest_helpers import ingest
from tests.data import published
from tests.pipelines.transform_helpers import transform

CONFIG = Path(__file__).parents[2] / "pipelines" / "configs" / "kuaisar.yaml"


def test_kuaisar_becomes_ids(tmp_path: Path) -> None:
    summary = kuaisar.prepare(published.write_kuaisar(tmp_path / "src", users=6), tmp_path / "data")
    examples = ingest(tmp_path / "data", tmp_path / "examples", moment=2 * 10**12, partitions=1)
    assert examples.get_int_custom_property("rejected_total") == 0
    assert examples.get_int_custom_property("accepted_events") == summary["rows"]["events"]
    records: list[bytes] = []
    split_of: list[str] = []
    for split in names.SPLITS:
        files = tf.io.gfile.glob(artifact_utils.get_split_uri([examples], split) + "/*")
        found = [record.numpy() for record in tf.data.TFRecordDataset(files, compression_type="GZIP")]
        records += found
        split_of += [split] * len(found)
    features = from_yaml(PipelineConfig, CONFIG).features
    rows = transform(records, tmp_path / "graph", describe(tmp_path / "data"), features)
    words = set(read_vocabulary(tmp_path / "graph", "tokens"))
    assert words == {str(n) for n in range(1, 30)}, "queries and captions share the data's word ids"
    assert "777" in read_vocabulary(tmp_path / "graph", "items"), "an item that has no features"
    targets = dict.fromkeys(names.SEGMENT_SPLITS, 0)
    for split, row in zip(split_of, rows):
        if split in targets:
            targets[split] += len(row["target_item_id"])
    assert min(targets.values()) >= 6, "every user is long enough for all three splits"
