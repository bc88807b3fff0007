"""The ingestion benchmark on few events: the rival makes the very records that BehaviorExampleGen makes."""

from __future__ import annotations

from pathlib import Path

import pytest

import seminar_tf  # noqa: F401

# isort: split
import tensorflow as tf

from benchmarks import ingest, ingest_data
from seminar_tf.features import names
from tests.components.road_helpers import raw_records


def records(folder: Path) -> list[bytes]:
    """Records of a split, in an order of their own, features in protobuf's order."""
    return sorted(
        tf.train.Example.FromString(record).SerializeToString(deterministic=True) for record in raw_records(folder)
    )


def test_both_pipelines_make_the_same_records(tmp_path: Path) -> None:
    ingest_data.write(tmp_path / "set", 3000, seed=1, skew=0.2)
    ingest.run_ours(str(tmp_path / "set"), tmp_path / "ours", partitions=3, workers=1)
    ingest.run_rival(str(tmp_path / "set"), tmp_path / "rows")
    for name in names.SPLITS:
        ours = records(tmp_path / "ours" / f"Split-{name}")
        assert ours == records(tmp_path / "rows" / f"Split-{name}")
        assert ours


@pytest.mark.parametrize(("power", "slope"), [(1, 1.0), (2, 2.0)])
def test_the_slope_is_the_power(power: int, slope: float) -> None:
    sizes = [10, 100, 1000]
    assert ingest._slope(sizes, [0.5 * size**power for size in sizes]) == pytest.approx(slope)
