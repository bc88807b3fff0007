"""The adapters' benchmark on few rows: what it writes is what the adapters read."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.adapters import LAYOUTS, measure


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_row_is_converted_or_counted(layout: str, tmp_path: Path) -> None:
    rows = 30_000
    found = measure(layout, rows, seed=1, work=tmp_path)
    rejected = sum(found["rejected"].get("events", {}).values())
    left_out = sum(found.get("not_clicked", {}).values())
    assert found["rows"]["events"] + rejected + left_out == rows
    # One in 10,000 of KuaiSAR's rows, in each of its two files' full ten thousands.
    assert found["rejected"] == ({"events": {"unparsable_row": 2}} if layout == "kuaisar" else {})
    assert found["peak_mib"] > 50 and found["cpu_seconds"] > 0
    assert not list(tmp_path.iterdir())
