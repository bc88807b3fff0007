"""KuaiSAR as published (rec_inter.csv, src_inter.csv, item_features.csv, user_features.csv) as a canonical dataset.

A clicked recommendation is a browse event, a clicked search result a search event. Words are anonymised in the
data: queries and captions are word ids from one list, and become tokens as they are. The small and the full release
(KuaiSAR.zip and KuaiSAR_v2.zip) have the same columns.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from seminar_tf.data import kuaisar_rows
from seminar_tf.data.adapter_output import AdapterOutput
from seminar_tf.data.csv_stream import read_batches
from seminar_tf.data.dataset import DatasetError
from seminar_tf.data.kuaisar_rows import EventOptions
from seminar_tf.data.rejection import Checked

logger = logging.getLogger(__name__)

_REC, _SRC, _ITEMS, _USERS = "rec_inter.csv", "src_inter.csv", "item_features.csv", "user_features.csv"
_BARE_ROWS = 100_000


def prepare(
    src: str | Path,
    out: str | Path,
    *,
    overwrite: bool = False,
    unclicked: bool = False,
    labels: Sequence[str] = (),
) -> dict[str, Any]:
    """Writes a KuaiSAR folder as a canonical dataset of one span, in memory that grows with its ids and not its rows.

    Args:
      src: the unpacked folder, or the one that holds it. Files may be packed one by one (.csv.gz).
      out: the dataset's folder; rows that cannot be read go to `out/rejected`.
      overwrite: replace a dataset that is already in `out`.
      unclicked: keep what was shown and not clicked, as history that is no target.
      labels: of `like`, `follow`, `forward`: further tasks, known for recommendations only.

    Returns:
      What was written: rows by table, users, events of each kind, rows left out as not clicked, items without
      features, rejected rows by table and reason. The same is in `out/prepare.json`.

    Raises:
      DatasetError: a file is missing, unreadable or lacks a column, or `out` is in use.
    """
    unknown = set(labels) - set(kuaisar_rows.LABELS)
    if unknown:
        raise DatasetError(
            f"labels: expected some of {', '.join(kuaisar_rows.LABELS)}, found {', '.join(sorted(unknown))}."
        )
    files = find_files(Path(src))
    options = EventOptions(unclicked, tuple(name for name in kuaisar_rows.LABELS if name in labels))
    with AdapterOutput(out, overwrite) as output:
        shown = {}
        for name, required, convert in (
            (_REC, (*kuaisar_rows.REC_REQUIRED, *options.labels), kuaisar_rows.recommended),
            (_SRC, kuaisar_rows.SRC_REQUIRED, kuaisar_rows.searched),
        ):
            shown[name] = _events(files[name], required, convert, options, output)
        for batch in read_batches(files[_ITEMS], kuaisar_rows.ITEM_REQUIRED, kuaisar_rows.ITEM_OPTIONAL, "items"):
            output.reject(batch.rejected)
            made = kuaisar_rows.items(batch.accepted)
            output.reject(made.rejected)
            output.catalog(made.accepted)
        without = output.seen_items.without(output.items)
        for start in range(0, len(without), _BARE_ROWS):
            output.catalog(kuaisar_rows.bare_items(without.slice(start, _BARE_ROWS)))
        for batch in read_batches(files[_USERS], ("user_id",), kuaisar_rows.USER_OPTIONAL, "users"):
            output.reject(batch.rejected)
            profiles = kuaisar_rows.users(batch.accepted)
            output.reject(profiles.rejected)
            output.profiles(profiles.accepted)
        counts = {
            "browse_events": shown[_REC][0],
            "search_events": shown[_SRC][0],
            "not_clicked": {"rec_inter": shown[_REC][1], "src_inter": shown[_SRC][1]},
            "items_without_features": len(without),
        }
        return output.finish("KuaiSAR", counts)


def find_files(src: Path) -> dict[str, Path]:
    """Finds the four files, each plain or .gz, in a folder or in the one folder of it that has them.

    Raises:
      DatasetError: a file is missing, there twice, or several folders have them.
    """
    if not src.is_dir():
        raise DatasetError(f"{src} is not a folder; expected the unpacked KuaiSAR files.")
    folders = [f for f in (src, *sorted(c for c in src.iterdir() if c.is_dir())) if _either(f, _REC)]
    if len(folders) != 1:
        there = ", ".join(sorted(child.name for child in src.iterdir())[:20])
        what = "several folders with" if folders else "no"
        raise DatasetError(
            f"{src}: found {what} {_REC}. Expected {_REC}, {_SRC}, {_ITEMS} and {_USERS} in it, or in one folder "
            f"of it, as KuaiSAR's archive unpacks. Found there: {there or 'nothing'}."
        )
    files = {}
    for name in (_REC, _SRC, _ITEMS, _USERS):
        found = _either(folders[0], name)
        if len(found) != 1:
            fault = f"both {name} and {name}.gz are there; keep one" if found else f"{name} is missing"
            raise DatasetError(f"{folders[0]}: {fault}. Needed are {_REC}, {_SRC}, {_ITEMS} and {_USERS}.")
        files[name] = found[0]
    return files


def _either(folder: Path, name: str) -> list[Path]:
    return [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]


def _events(
    path: Path,
    required: Sequence[str],
    convert: Callable[[pa.Table, EventOptions], tuple[Checked, int]],
    options: EventOptions,
    output: AdapterOutput,
) -> tuple[int, int]:
    """Writes the events of one file; how many, and how many rows were not clicked."""
    written = unclicked = 0
    for batch in read_batches(path, required, (), "events"):
        output.reject(batch.rejected)
        made, left_out = convert(batch.accepted, options)
        output.reject(made.rejected)
        output.events(made.accepted)
        written += made.accepted.num_rows
        unclicked += left_out
    logger.info("%s: %d events, %d rows not clicked", path, written, unclicked)
    return written, unclicked
