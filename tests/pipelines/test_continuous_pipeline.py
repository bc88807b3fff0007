"""The pipeline of continuous operation, compiled: what reads what, and in which order."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tfx.dsl.compiler.compiler import Compiler

from pipelines.pipeline import create_pipeline
from seminar_tf.config import ContinuousConfig, DataConfig, DriftConfig, PipelineConfig
from seminar_tf.data.dataset import DatasetError, describe

EVENT = {"user_id": "u", "timestamp": 1, "kind": "browse", "query": None, "item_id": "i", "action": "click"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    spans = {1: {"items": {"item_id": "i"}, "events": EVENT}, 3: {"events": {**EVENT, "label_like": 1.0}}}
    for span, tables in spans.items():
        for table, row in tables.items():
            (path / f"span-{span}" / table).mkdir(parents=True)
            # A column of nulls alone has a type of its own, which is taken for any.
            pq.write_table(pa.Table.from_pylist([row]), path / f"span-{span}" / table / "part-0.parquet")
    return path


def nodes(dataset, root, span=None, **sections):
    config = PipelineConfig(root=str(root), data=DataConfig(path=str(dataset)), **sections)
    compiled = Compiler().compile(create_pipeline(config, span=span))
    return {node.pipeline_node.node_info.id: node.pipeline_node for node in compiled.nodes}


def test_without_it_nothing_is_resolved_or_checked(dataset, tmp_path):
    found = nodes(dataset, tmp_path)
    assert not {"EarlierModels", "EarlierSpan", "DriftCheck"} & set(found)
    assert "warm_model" not in found["PSU"].inputs.inputs


def test_drift_comes_before_transform_and_trainers_read_earlier_models(dataset, tmp_path):
    found = nodes(
        dataset,
        tmp_path,
        continuous=ContinuousConfig(warm_start="last_blessed"),
        drift=DriftConfig(action="block"),
    )
    order = list(found)
    assert order.index("EarlierSpan") < order.index("DriftCheck") < order.index("Transform") < order.index("PSU")
    assert "DriftCheck" in found["Transform"].upstream_nodes
    for stage in ("PSU", "SEMINAR"):
        assert "EarlierModels" in found[stage].upstream_nodes
        assert found[stage].inputs.inputs["warm_model"].min_count == 0, "the first span has no earlier model"
    assert found["DriftCheck"].inputs.inputs["baseline"].min_count == 0
    assert "PSU" in found["SEMINAR"].upstream_nodes


def test_a_run_for_a_span_does_not_see_later_ones(dataset, tmp_path):
    assert describe(dataset, 1).tasks == ("click",) and describe(dataset, 1).spans == (1,)
    assert describe(dataset).tasks == ("like",)
    with pytest.raises(DatasetError, match="has no span-2; it has span-1, span-3"):
        nodes(dataset, tmp_path, span=2)
    config = str(nodes(dataset, tmp_path, span=1)["BehaviorExampleGen"].parameters.parameters["custom_config"])
    assert "like" not in config
