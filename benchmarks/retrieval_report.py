"""Tables, the plot, and the measured times that `retrieval.search: auto` chooses by."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from seminar_tf.retrieval.auto import FILE

import tensorflow as tf  # isort: skip

PLOTTED_K, _PLOTTED_LENGTH = 100, 10_000  # or the nearest length measured


def print_rows(rows: list[dict[str, Any]], name: str, shape: tuple[int, int, int]) -> None:
    """One Markdown table."""
    print(f"\n| {name}, L = {shape[0]:,}, N = {shape[1]}, K = {shape[2]} | Recall@K | search, ms | index, ms | bytes |")
    print("| --- | --- | --- | --- | --- |")
    for row in rows:
        if row.get("left_out"):
            print(f"| {row['method']} | left out: too large | | | |")
            continue
        times = f"{row['search_seconds'] * 1e3:.2f} | {row['index_seconds'] * 1e3:.2f}"
        print(f"| {row['method']} | {row['recall']:.3f} | {times} | {row['bytes']:.0f} |", flush=True)


def commit() -> str:
    """The commit that is measured, with a plus where files were changed since."""
    found = subprocess.run(["git", "describe", "--always", "--dirty=+"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def write_tables(found: list[dict[str, Any]], path: Path, what: str) -> None:
    """All figures as Markdown: for each embeddings and L a table of Recall@K and one of times, a column an N and K.

    Args:
      found: one entry a shape.
      path: the page.
      what: of which run the figures are.
    """
    lines = [
        "# Every search method, in figures",
        "",
        "Written by `python -m benchmarks.retrieval --docs docs`; docs/retrieval.md says what the methods are and",
        "what to make of it. Built: seconds before any request (codebooks fitted, items encoded). Milliseconds are to",
        "index one history and to find the K pairs of all its N targets. A dash: too large.",
        "",
        f"This run: {what}.",
    ]
    for name, length in dict.fromkeys((e["embeddings"], e["shape"][0]) for e in found):
        shown = [e for e in found if (e["embeddings"], e["shape"][0]) == (name, length)]
        columns = " | ".join(f"N {e['shape'][1]}, K {e['shape'][2]}" for e in shown)
        rows = [{row["method"]: row for row in e["rows"]} for e in shown]
        names = dict.fromkeys(method for e in rows for method, row in e.items() if not row.get("left_out"))
        for title, value in (("Recall@K", _recall), ("milliseconds", _milliseconds)):
            lines += ["", f"## {name}, L = {length:,}: {title}", "", f"| method | bytes | built, s | {columns} |"]
            lines.append("| --- " * (3 + len(shown)) + "|")
            for method in names:
                any_row = next(e[method] for e in rows if method in e and not e[method].get("left_out"))
                cells = " | ".join(value(e[method]) if "bytes" in e.get(method, {}) else "-" for e in rows)
                built = any_row.get("built_seconds")
                fixed = f"{any_row['bytes']:.0f} | {'-' if built is None else f'{built:.1f}'}"
                lines.append(f"| {method} | {fixed} | {cells} |")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _recall(row: dict[str, Any]) -> str:
    return f"{row['recall']:.3f}"


def _milliseconds(row: dict[str, Any]) -> str:
    return f"{(row['index_seconds'] + row['search_seconds']) * 1e3:.1f}"


def write_measured(found: list[dict[str, Any]], served: dict[str, str], path: Path = FILE) -> None:
    """Writes times of the served ways into auto's table, beside those of other devices.

    Args:
      found: of one embeddings, K = 100 among them.
      served: row -> name in the table.
      path: the table.
    """
    shapes = [entry for entry in found if entry["shape"][2] == PLOTTED_K]
    lengths, targets = (sorted({entry["shape"][axis] for entry in shapes}) for axis in (0, 1))
    seconds: dict[str, list[list[float | None]]] = {
        name: [[None] * len(targets) for _ in lengths] for name in served.values()
    }
    for entry in shapes:
        length, count, _ = entry["shape"]
        for row in entry["rows"]:
            if row["method"] in served and not row.get("left_out"):
                total = row["index_seconds"] + row["search_seconds"]
                seconds[served[row["method"]]][lengths.index(length)][targets.index(count)] = round(total, 6)
    device = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    every = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"devices": {}}
    every["devices"][device] = {
        "what": f"seconds to index a history and search it, K = {PLOTTED_K}, {found[0]['embeddings']} embeddings",
        "lengths": lengths,
        "targets": targets,
        "seconds": seconds,
    }
    path.write_text(json.dumps(every, indent=1) + "\n", encoding="utf-8")


def draw(found: list[dict[str, Any]], path: Path) -> None:
    """Recall against time for each N on the first embeddings, and against bytes a pair on all of them."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    length = min((e["shape"][0] for e in found), key=lambda n: abs(n - _PLOTTED_LENGTH))
    shown = [e for e in found if e["shape"][0] == length and e["shape"][2] == PLOTTED_K]
    first = shown[0]["embeddings"]
    above = [e for e in shown if e["embeddings"] == first]
    below = [e for e in shown if e["shape"][1] == above[0]["shape"][1]]
    columns = max(len(above), len(below))
    figure, axes = pyplot.subplots(2, columns, figsize=(6.2 * columns, 11), sharey=True, squeeze=False)
    for axis, entry in zip(axes[0], above):
        axis.set_title(f"{first}, L = {entry['shape'][0]:,}, N = {entry['shape'][1]}")
        axis.set_xlabel("index and search, ms")
        _points(axis, entry, lambda row: (row["index_seconds"] + row["search_seconds"]) * 1e3)
    for axis, entry in zip(axes[1], below):
        axis.set_title(f"{entry['embeddings']}, L = {entry['shape'][0]:,}, N = {entry['shape'][1]}")
        axis.set_xlabel("bytes a pair")
        _points(axis, entry, lambda row: row["bytes"])
    for row in axes:
        row[0].set_ylabel(f"Recall@{PLOTTED_K}")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def _points(axis: Any, entry: dict[str, Any], x: Any) -> None:
    axis.set_xscale("log")
    for row in (r for r in entry["rows"] if not r.get("left_out")):
        colour = "tab:gray" if row["method"].startswith("faiss") else "tab:blue"
        axis.plot([x(row)], [row["recall"]], "o", color=colour, markersize=4)
        axis.annotate(row["method"], (x(row), row["recall"]), fontsize=6, xytext=(3, 2), textcoords="offset points")
    axis.grid(alpha=0.3)
