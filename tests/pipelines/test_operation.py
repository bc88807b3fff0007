"""The daily run: which spans, in which order, once each, whatever is killed in between; and the way back."""

from __future__ import annotations

import multiprocessing

import pytest
from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from pipelines import operation, rollback
from pipelines.operation import OperationError, Plan, SpanRecord, operate, plan


@pytest.mark.parametrize(
    ("spans", "done", "options", "wanted"),
    [
        ([1, 2, 3], [], {}, Plan((3,), ())),
        ([3, 1, 2], [], {"since": 2}, Plan((2, 3), ())),
        ([1, 2, 3, 5, 6], [2, 3], {}, Plan((5, 6), ())),
        ([1, 2, 3], [3], {}, Plan((), ())),
        ([1, 2, 3, 4, 5], [2, 4], {}, Plan((5,), (3,))),
        ([1, 2, 3], [1, 2], {"again": True}, Plan((2, 3), ())),
        ([1, 2, 3, 4], [2], {"since": 4}, Plan((4,), ())),
    ],
)
def test_plans(spans, done, options, wanted):
    assert plan(spans, done, **options) == wanted


@pytest.mark.parametrize(
    ("spans", "done", "options", "message"),
    [
        ([], [], {}, "no span yet"),
        ([1, 2], [], {"since": 3}, "no such span; there are 1, 2"),
        ([1, 2], [], {"again": True}, "no span was run yet"),
        ([1, 2], [2], {"since": 1}, "span 2 was run already"),
        ([1, 3], [2], {"again": True}, "span 2, the last that was run, is no longer"),
    ],
)
def test_what_does_not_fit_is_told(spans, done, options, message):
    with pytest.raises(OperationError, match=message):
        plan(spans, done, **options)


class Runs:
    """Runs nothing; remembers which spans it was asked for."""

    def __init__(self):
        self.asked, self.lines, self.failing = [], [], None

    def __call__(self, span):
        self.asked.append(span)
        if span == self.failing:
            raise RuntimeError(f"span {span} is killed")
        return SpanRecord(span, "2024-01-01T00:00:00+00:00", True, f"push/{span}", 0.1 * span)

    def operate(self, root, spans, **options):
        return operate(root, spans, self, self.lines.append, **options)


def test_missed_spans_are_run_in_order_once_each_and_go_on_where_one_failed(tmp_path):
    runs = Runs()
    assert [record.span for record in runs.operate(tmp_path, [1, 2])] == [2]
    assert runs.operate(tmp_path, [1, 2]) == [] and "nothing to do: span 2" in runs.lines[-1]
    runs.failing = 4
    with pytest.raises(RuntimeError, match="span 4 is killed"):
        runs.operate(tmp_path, [1, 2, 5, 4, 3])
    assert [record.span for record in operation.read_records(tmp_path)] == [2, 3]
    runs.failing = None
    assert [record.span for record in runs.operate(tmp_path, [1, 2, 3, 4, 5])] == [4, 5]
    assert runs.asked == [2, 3, 4, 4, 5]
    assert operation.read_records(tmp_path)[-1] == SpanRecord(5, "2024-01-01T00:00:00+00:00", True, "push/5", 0.5)
    assert [record.span for record in runs.operate(tmp_path, [5, 6], again=True)] == [5, 6]
    runs.operate(tmp_path, [1, 2, 3, 4, 5, 6, 7])
    (tmp_path / "spans" / "span-4.json").unlink()
    runs.operate(tmp_path, [1, 2, 3, 4, 5, 6, 7])
    assert any("late: span 4 came after span 7" in line for line in runs.lines)
    (tmp_path / "spans" / "span-7.json").write_text("{}")
    with pytest.raises(OperationError, match=r"span-7\.json is no record of a span"):
        runs.operate(tmp_path, [7])


def hold(root, held, stop):
    with operation.alone(root):
        held.set()
        stop.wait(60)


def test_two_do_not_operate_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    held, stop = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, held, stop))
    other.start()
    assert held.wait(60)
    with pytest.raises(OperationError, match=r"another run holds .*operate\.lock"):
        Runs().operate(tmp_path, [1])
    other.kill()
    other.join()
    assert Runs().operate(tmp_path, [1]), "the lock goes with the process"


@pytest.fixture
def store():
    config = metadata_store_pb2.ConnectionConfig()
    config.fake_database.SetInParent()
    return MetadataStore(config)


def pushed(store, version, blessed=1):
    """A model, its blessing and its push, as the pipeline records them; gives the blessing's id."""
    kinds = {
        name: store.put_artifact_type(metadata_store_pb2.ArtifactType(name=name))
        for name in ("Model", "ModelBlessing", "PushedModel")
    }
    pusher = store.put_execution_type(metadata_store_pb2.ExecutionType(name="Pusher"))
    (model,) = store.put_artifacts([metadata_store_pb2.Artifact(type_id=kinds["Model"])])
    blessing = metadata_store_pb2.Artifact(type_id=kinds["ModelBlessing"])
    blessing.custom_properties["current_model_id"].int_value = model
    blessing.custom_properties["blessed"].int_value = blessed
    (blessing_id,) = store.put_artifacts([blessing])
    push = metadata_store_pb2.Artifact(type_id=kinds["PushedModel"])
    push.custom_properties["pushed_version"].string_value = str(version)
    (push_id,) = store.put_artifacts([push])
    (execution,) = store.put_executions([metadata_store_pb2.Execution(type_id=pusher)])
    Event = metadata_store_pb2.Event
    events = [
        Event(artifact_id=model, execution_id=execution, type=Event.INPUT),
        Event(artifact_id=push_id, execution_id=execution, type=Event.OUTPUT),
    ]
    events[0].path.steps.add(key="model")
    events[1].path.steps.add(key="pushed_model")
    store.put_events(events)
    return blessing_id


def test_a_version_is_taken_back_with_its_blessing(tmp_path, store):
    blessings = {}
    for version in (100, 200, 300):
        (tmp_path / str(version)).mkdir()
        (tmp_path / str(version) / "saved_model.pb").write_bytes(b"x")
        blessings[version] = pushed(store, version)
    assert rollback.withdraw(tmp_path, store) == rollback.Withdrawn(300, 200, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["100", "200", "withdrawn-300"]

    def blessed(version):
        (found,) = store.get_artifacts_by_id([blessings[version]])
        return found.custom_properties["blessed"].int_value

    assert [blessed(version) for version in (100, 200, 300)] == [1, 1, 0]
    assert rollback.withdraw(tmp_path, store, 100) == rollback.Withdrawn(100, 200, 1)
    with pytest.raises(rollback.RollbackError, match="is the only one"):
        rollback.withdraw(tmp_path, store)
    with pytest.raises(rollback.RollbackError, match="has no version 7; it has 200"):
        rollback.withdraw(tmp_path, store, 7)
