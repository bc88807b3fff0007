"""Tables of tiny datasets, row by row."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

NOW_MS = 10_000_000


def png(color: tuple[int, int, int], size: int = 7) -> bytes:
    """A PNG of one color."""
    sink = io.BytesIO()
    Image.fromarray(np.full((size, size, 3), color, np.uint8)).save(sink, "PNG")
    return sink.getvalue()


def event(user: str | None, time: int, item: str, query: str | None = None, **more: Any) -> dict[str, Any]:
    """A row of the events table."""
    kind = "browse" if query is None else "search"
    return {"user_id": user, "timestamp": time, "kind": kind, "query": query, "item_id": item, "action": "view"} | more


def write(path: Path, span: int, table: str, rows: list[dict[str, Any]], schema: pa.Schema, part: int = 0) -> None:
    """Writes rows as one Parquet file of a table."""
    folder = path / f"span-{span}" / table
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / f"part-{part}.parquet")


EVENTS = pa.schema(
    [
        ("user_id", pa.string()),
        ("timestamp", pa.int64()),
        ("kind", pa.string()),
        ("query", pa.string()),
        ("item_id", pa.string()),
        ("action", pa.string()),
        ("request_id", pa.string()),
    ]
)
ITEMS = pa.schema(
    [
        ("item_id", pa.string()),
        ("title", pa.string()),
        ("attributes", pa.list_(pa.string())),
        ("image", pa.binary()),
        ("image_path", pa.string()),
        ("numeric_price", pa.float32()),
    ]
)
USERS = pa.schema([("user_id", pa.string()), ("attributes", pa.list_(pa.string()))])
REQUESTS = pa.schema(
    [
        ("request_id", pa.string()),
        ("user_id", pa.string()),
        ("timestamp", pa.int64()),
        ("kind", pa.string()),
        ("query", pa.string()),
        ("item_id", pa.string()),
        ("label_click", pa.float32()),
    ]
)
DELETIONS = pa.schema([("user_id", pa.string()), ("timestamp", pa.int64())])
