"""Checked rows of an ingestion, kept by partition, so that the next span's rows are appended instead of all read again.

A state is a cache and no artifact: what it holds is fixed by the files of its spans and by the rules they were checked
by, both of which it names, and an ingestion that appends to it makes the bytes of one that reads every span. So a
missing or unfit state costs time and nothing else, and TFX's lineage stays that of the input files.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.behavior_example_gen.settings import IngestSettings, files_fingerprint
from components.processes import runs
from seminar_tf.data.dataset import find_spans, table_files
from seminar_tf.data.erasure import TIMED
from seminar_tf.data.rejection import IN_FUTURE, REJECTED_SCHEMA, UNKNOWN_ITEM

logger = logging.getLogger(__name__)

_MANIFEST = "manifest.json"
_STAGED = ".staged-"


@dataclass(frozen=True)
class Manifest:
    """What a state was made of.

    Attributes:
      span: newest span that went in.
      files: fingerprint of all tables' files of spans up to `span`.
      rules: fingerprint of code and settings that decide which rows are accepted.
      now_ms: the moment of that ingestion.
      erased: rows erased so far, by the name of their count.
      sizes: bytes of each file of the state.
    """

    span: int
    files: str
    rules: str
    now_ms: int
    erased: dict[str, int]
    sizes: dict[str, int]


@dataclass(frozen=True)
class State:
    """A published state: its folder and manifest."""

    folder: str
    manifest: Manifest

    def parts(self) -> list[tuple[int, tuple[str, str]]]:
        """(partition, (table, file)) of all rows."""
        found = []
        for name in sorted(self.manifest.sizes):
            table, _, partition = name.removesuffix(".arrow").partition("-")
            if name.endswith(".arrow"):
                found.append((int(partition), (table, os.path.join(self.folder, name))))
        return found

    def letters(self) -> list[str]:
        """Files of dead letters."""
        return [os.path.join(self.folder, name) for name in sorted(self.manifest.sizes) if name.endswith(".parquet")]


def rules_fingerprint(settings: IngestSettings, families: Mapping[str, Sequence[str]]) -> str:
    """SHA-256 of what decides, beside the files, which rows are accepted and in which columns they are kept.

    Args:
      settings: of the ingestion; how sequences are cut is not among what counts.
      families: label columns of events and requests.
    """
    told = {
        "code": settings.code,
        "partitions": settings.data.partitions,
        "retention_days": settings.data.retention_days,
        "requests": settings.use_requests,
        "families": {name: list(families.get(name, ())) for name in TIMED},
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def find(folder: str, path: str, span: int, rules: str, now_ms: int) -> State | None:
    """The newest state that the spans up to `span` can be appended to; the log says why there is none.

    Args:
      folder: `settings.state_dir`.
      path: the dataset.
      span: newest span of this ingestion.
      rules: `rules_fingerprint` of this ingestion.
      now_ms: its moment.
    """
    states = [state for state in _published(folder) if state.manifest.span <= span]
    if not states:
        logger.info("Ingestion reads every span: %s holds no state of a span up to %d.", folder, span)
        return None
    state = max(states, key=lambda state: state.manifest.span)
    reason = _unfit(state, path, span, rules, now_ms)
    if reason:
        logger.warning("Ingestion reads every span and leaves the state in %s alone: %s.", state.folder, reason)
        return None
    logger.info("Ingestion appends to the sequences of span %d, kept in %s.", state.manifest.span, state.folder)
    return state


def _unfit(state: State, path: str, span: int, rules: str, now_ms: int) -> str:
    """Why appending to the state would not make what a reading of all spans makes; "" if it would."""
    told = state.manifest
    if told.rules != rules:
        return "the code, data.partitions, data.retention_days, data.targets or the label columns have changed since"
    if files_fingerprint(path, told.span + 1) != told.files:
        return f"files of span {told.span} or of spans before it have changed since"
    for name, size in told.sizes.items():
        file = Path(state.folder, name)
        if not file.is_file() or file.stat().st_size != size:
            return f"its file {name} is missing or has another size"
    if now_ms < told.now_ms:
        return "it was made at a later moment than this ingestion's"
    letters = pa.concat_tables([REJECTED_SCHEMA.empty_table(), *map(pq.read_table, state.letters())])
    if now_ms > told.now_ms and pc.any(pc.equal(letters["reason"], IN_FUTURE)).as_py():
        return "rows that it rejected as in the future may lie in the past by now"
    wanted = letters.filter(pc.equal(letters["reason"], UNKNOWN_ITEM))["row"].to_pylist()
    missed = {json.loads(row)["item_id"] for row in wanted}
    new = _item_ids(path, told.span, span) & missed if missed else set()
    return f"events about item {min(new)!r} were rejected as unknown and a newer span brings the item" if new else ""


def _item_ids(path: str, after: int, span: int) -> set[str]:
    """Ids in the items tables of the spans after one, up to another."""
    files = [file for s in find_spans(path) if after < s <= span for file in table_files(path, s, "items")]
    return {value for file in files for value in pq.read_table(file, columns=["item_id"])["item_id"].to_pylist()}


def begin(folder: str) -> str:
    """Makes a folder for a new state, and removes those of runs that were killed.

    Returns:
      The folder's path; `publish` gives it its place.
    """
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    for left in root.glob(f"{_STAGED}*"):
        if not runs(int(left.name.removeprefix(_STAGED).partition("-")[0])):
            shutil.rmtree(left, ignore_errors=True)
    staged = root / f"{_STAGED}{os.getpid()}-{uuid.uuid4().hex}"
    staged.mkdir()
    return str(staged)


def save(staged: str, table: str, partition: int, rows: pa.Table) -> None:
    """Writes a partition's accepted rows, whole or not at all: a bundle that is tried again replaces its file."""
    final = os.path.join(staged, f"{table}-{partition:05d}.arrow")
    part = f"{final}.{uuid.uuid4().hex}"
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.OSFile(part, "wb") as sink, pa.ipc.new_file(sink, rows.schema, options=options) as writer:
        writer.write_table(rows)
    os.replace(part, final)


def load(file: str) -> pa.Table:
    """Rows that `save` wrote."""
    with pa.OSFile(file, "rb") as source:
        return pa.ipc.open_file(source).read_all()


def publish(
    staged: str, path: str, span: int, rules: str, now_ms: int, letters: str, counts: Mapping[str, int]
) -> None:
    """Gives a complete state its place and removes those of this span and older ones.

    Args:
      staged: from `begin`, with all partitions in it.
      path: the dataset.
      span, rules, now_ms: as for `find`.
      letters: folder of the dead letters of this ingestion.
      counts: of this ingestion.
    """
    for table in TIMED:
        part = Path(letters, f"part-{table}.parquet")
        if part.exists():
            shutil.copyfile(part, Path(staged, f"letters-{table}.parquet"))
    erased = {name: count for name in map("erased_{}".format, TIMED) if (count := counts.get(name, 0))}
    sizes = {file.name: file.stat().st_size for file in Path(staged).iterdir() if file.suffix in (".arrow", ".parquet")}
    manifest = Manifest(span, files_fingerprint(path, span + 1), rules, now_ms, erased, sizes)
    Path(staged, _MANIFEST).write_text(json.dumps(asdict(manifest), indent=2) + "\n", encoding="utf-8")
    root = Path(staged).parent
    old = [state for state in _published(str(root)) if state.manifest.span <= span]
    os.rename(staged, root / f"span-{span}-{uuid.uuid4().hex[:8]}")
    # A deleted user's rows must not outlive their deletion in a state that nobody needs any more.
    for state in old:
        shutil.rmtree(state.folder, ignore_errors=True)


def _published(folder: str) -> list[State]:
    found = []
    for file in sorted(Path(folder).glob(f"span-*/{_MANIFEST}")):
        try:
            found.append(State(str(file.parent), Manifest(**json.loads(file.read_text(encoding="utf-8")))))
        except (OSError, ValueError, TypeError) as error:
            logger.warning("%s is no manifest of a state (%s) and is not used.", file, error)
    return found
