"""What BehaviorExampleGen is told."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from seminar_tf.config import DataConfig
from seminar_tf.data import schema
from seminar_tf.data.dataset import DatasetSpec, find_spans, table_files, uses_requests


@dataclass(frozen=True)
class IngestSettings:
    """Settings of one ingestion.

    Attributes:
      data: split rule, target limits and partitions.
      dataset: what the dataset holds.
      image_size: height and width in pixels that item images are resized to.
      now_ms: events after this moment (ms since 1970, UTC) are rejected; 0 is the moment the executor starts.
      older_files: fingerprint of the files of older spans, which TFX's own fingerprint of the newest span leaves out.
      code: fingerprint of the code, so that an edit is not answered from the cache.
      state_dir: where the checked rows of each ingestion are kept for the next span's, a folder that all workers see;
        "" keeps none. What lies there never changes a result.
    """

    data: DataConfig
    dataset: DatasetSpec
    image_size: int = 32
    now_ms: int = 0
    older_files: str = ""
    code: str = ""
    state_dir: str = ""

    @property
    def use_requests(self) -> bool:
        """Whether targets are logged impressions.

        Raises:
          DatasetError: the configuration asks for requests and the dataset has none.
        """
        return uses_requests(self.data, self.dataset)


def files_fingerprint(path: str | Path, below_span: int) -> str:
    """SHA-256 over (relative path, bytes, modification time in ns) of the tables of all spans below `below_span`."""
    root = Path(path)
    entries = []
    for span in (s for s in find_spans(root) if s < below_span):
        for table in schema.TABLES:
            for file in table_files(root, span, table):
                stat = file.stat()
                entries.append((str(file.relative_to(root)), stat.st_size, stat.st_mtime_ns))
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest() if entries else ""
