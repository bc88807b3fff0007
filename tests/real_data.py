"""Where the real data lies that some tests need: beside the project, never in it."""

from __future__ import annotations

from pathlib import Path

import pytest

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def real_data(*parts: str) -> Path:
    """Path under the real data; skips the calling test, saying why, where it is not there."""
    path = REAL_DATA.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path} is not there; this test reads real MovieLens data beside the project")
    return path
