"""A soak of seconds: versions are published under load, and every call and version is accounted for."""

from __future__ import annotations

import gc
import weakref

from benchmarks import serving_report
from benchmarks.serving_soak import Soak, run
from serving.load.draw import Shape
from serving.loaded_model import LoadedModel

MACHINE = {"commit": "abc1234", "tensorflow": "2.16.2", "cores": 2, "load": 0.5}


def test_a_short_soak(exported, tmp_path):
    models = [exported[0] / name for name in ("one", "two")]
    soak = Soak(
        seconds=4.0,
        swap_s=1.5,
        settle_swaps=1,
        share=0.3,
        capacity_s=0.3,
        callers=2,
        shape=Shape(1, 12, 5),
        memory_s=0.1,
    )
    found = run(models, tmp_path / "versions", soak, arguments=("--poll", "0.1"))
    assert found["failed"] == 0 and found["summary"]["errors"] == {}
    assert [swap["version"] for swap in found["swaps"]] == [3, 4]
    assert found["swaps"][0]["published_s"] >= 1.5
    assert sum(found["answers_by_version"].values()) == found["summary"]["calls"] > 0
    assert 2 in found["answers_by_version"] and set(found["answers_by_version"]) <= {2, 3, 4}
    assert sum(window["calls"] for window in found["windows"]) == found["summary"]["calls"]
    assert len(found["memory"]) > 10 and all(row["mib"] > 50 for row in found["memory"])
    text = serving_report.soak_text(found | {"machine": MACHINE})
    assert "| failed | 0 |" in text and "Commit abc1234, TensorFlow 2.16.2, 2 cores" in text
    image = tmp_path / "images" / serving_report.IMAGE
    serving_report.draw(found, image)
    assert image.read_bytes().startswith(b"\x89PNG")


def test_a_closed_version_is_freed_at_once(exported):
    model = LoadedModel("ranker", 1, exported[0] / "one", inter_op_threads=1)
    graph = weakref.ref(model._session.graph)
    assert graph() is not None
    gc.disable()
    try:
        model.close()
        assert graph() is None, "the graph waits for Python's collector"
    finally:
        gc.enable()
