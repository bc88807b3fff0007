"""Where an artifact comes from, as ML Metadata tells it."""

from __future__ import annotations

from typing import Any

from ml_metadata.proto import metadata_store_pb2

_Event = metadata_store_pb2.Event
_WRITTEN = (_Event.OUTPUT, _Event.INTERNAL_OUTPUT)
_READ = (_Event.INPUT, _Event.INTERNAL_INPUT)


def inputs_of(store: Any, artifact_id: int) -> dict[str, list[Any]]:
    """What the execution that wrote an artifact read.

    Args:
      store: ml_metadata.MetadataStore.
      artifact_id: of the artifact.

    Returns:
      Input key -> artifacts as ML Metadata has them; {} where nothing is known of it.
    """
    writers = [e.execution_id for e in store.get_events_by_artifact_ids([artifact_id]) if e.type in _WRITTEN]
    if not writers:
        return {}
    # An execution that took it from the cache comes later and has it for an output too.
    read = [e for e in store.get_events_by_execution_ids([min(writers)]) if e.type in _READ]
    artifacts = {a.id: a for a in store.get_artifacts_by_id(sorted({e.artifact_id for e in read}))}
    found: dict[str, list[Any]] = {}
    for event in read:
        key = next((step.key for step in event.path.steps if step.WhichOneof("value") == "key"), "")
        found.setdefault(key, []).append(artifacts[event.artifact_id])
    return found


def span_of(record: Any) -> int | None:
    """The span of an artifact as ML Metadata has it; None where it has none."""
    for properties in (record.custom_properties, record.properties):
        if "span" in properties:
            return int(properties["span"].int_value)
    return None
