"""A dataset that is ingested already, and an experiment over it that trains in seconds."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from components.json_file import write_json
from pipelines.experiment.layout import MARKER, source_key
from pipelines.experiment.plan import Plan
from seminar_tf.config.experiment import ExperimentConfig
from seminar_tf.config_io import from_yaml
from tests.pipelines.trainer_data import write_dataset
from tests.training.corpus import make_users

PIPELINE: dict[str, dict[str, object]] = {
    "features": {"item_oov_buckets": 2, "query_oov_buckets": 1, "max_title_tokens": 3, "max_attributes": 2},
    "model": {
        "history_length": 8,
        "serving_history_length": 16,
        "top_k": 4,
        "dim": 8,
        "heads": 2,
        # Nothing that an experiment sees, and much of what is traced for each training.
        "short_length": 0,
        "text_layers": 0,
        "hidden_units": [8],
    },
    "psu": {"epochs": 1, "batch_size": 32, "window_stride": 4},
    # Checkpoints long before the last step: what is killed has one to go on from.
    "seminar": {"epochs": 1, "batch_size": 8, "negatives": 2, "steps_per_checkpoint": 2},
    "serving": {"warmup_candidates": [1]},
}
PROTOCOLS = [
    {"name": "full", "evaluation": {"candidates": "full"}},
    {"name": "9 others", "evaluation": {"candidates": "sampled", "negatives": 9, "exclude_history": True}},
]


def write_toy(root: Path, grouped: bool = False, **keys: object) -> Path:
    """Writes the experiment's file, its pipeline configuration and its data, which Transform seems to have left.

    Args:
      root: folder for all of it.
      grouped: whether targets are candidates of logged requests.
      **keys: of the experiment.

    Returns:
      The experiment's file.
    """
    (root / "pipeline.yaml").write_text(yaml.safe_dump(PIPELINE))
    tree = {
        "name": "toy",
        "root": str(root / "out"),
        "datasets": [{"name": "toy", "config": "pipeline.yaml", "data": str(root / "tables")}],
        "rankers": [{"name": "SEMINAR"}],
        "seeds": [1],
        "protocols": PROTOCOLS,
        "timing": {"rounds": 0},
        **keys,
    }
    path = root / "experiment.yaml"
    path.write_text(yaml.safe_dump(tree))
    write_tables(root / "tables", grouped)
    pretend_ingested(path, root / "transformed", grouped)
    return path


def write_tables(folder: Path, grouped: bool) -> None:
    """Canonical tables: their columns count, not their rows."""
    text = ("user_id", "kind", "query", "item_id", "action")
    events = {name: pa.array(["x"]) for name in text} | {"timestamp": pa.array([1])}
    requests = {name: pa.array(["x"]) for name in ("request_id", "user_id", "kind", "query", "item_id")}
    requests |= {"timestamp": pa.array([1]), "label_click": pa.array([1.0], pa.float32())}
    tables = {"events": events, "items": {"item_id": pa.array(["x"])}} | ({"requests": requests} if grouped else {})
    for name, table in tables.items():
        target = folder / "span-1" / name
        target.mkdir(parents=True)
        pq.write_table(pa.table(table), target / "part-0.parquet")


def pretend_ingested(path: Path, transformed: Path, grouped: bool) -> None:
    """Writes transformed examples, and the marker that an ingestion would leave."""
    write_dataset(transformed, make_users(0, grouped=grouped))
    plan = Plan(from_yaml(ExperimentConfig, path), path.parent)
    for dataset in plan.datasets:
        places = {"examples": str(transformed / "examples"), "graph": str(transformed / "graph")}
        source = source_key(Path(dataset.config.data.path))
        write_json(dataset.folder / MARKER, {"source": source, **places})
