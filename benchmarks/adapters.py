"""Adapters at the size of the published data: rows a second and peak memory.

Writes a file of so many rows in a published layout, converts it, and reports. The rows are random, in no order, one in
10,000 of KuaiSAR's without a time that can be read. Writing and converting are processes of their own: the peak
(ru_maxrss) is that of the conversion alone, imports included.

Run: python -m benchmarks.adapters [--layout kuaisar|amazon-2018|amazon-2023 --rows 2000000 --out adapters.json]
"""

# Nothing large is imported here: a child's ru_maxrss begins at what its parent held.
from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.processes import ran
from components.json_file import write_json

_HERE = "benchmarks.adapters"
LAYOUTS = ("kuaisar", "amazon-2018", "amazon-2023")


def write(layout: str, folder: Path, rows: int, seed: int) -> None:
    """Writes `rows` rows in the layout to a folder."""
    from benchmarks import adapters_data

    if layout == "kuaisar":
        adapters_data.write_kuaisar(folder, rows, seed)
    else:
        adapters_data.write_amazon(folder, rows, seed, layout.removeprefix("amazon-"))


def convert(layout: str, folder: Path, out: Path) -> dict[str, Any]:
    """Converts a folder in this process.

    Returns:
      The adapter's summary, `seconds`, `cpu_seconds` (of all threads) and `peak_mib`.
    """
    from seminar_tf.data import amazon, kuaisar

    begin, begin_cpu = time.perf_counter(), time.process_time()
    summary = (kuaisar if layout == "kuaisar" else amazon).prepare(folder, out)
    taken = {"seconds": time.perf_counter() - begin, "cpu_seconds": time.process_time() - begin_cpu}
    # ru_maxrss is in KiB on Linux.
    return taken | {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024} | summary


def measure(layout: str, rows: int, seed: int, work: Path | None = None) -> dict[str, Any]:
    """Writes and converts in two processes, in a folder that is removed at the end.

    Args:
      layout: one of LAYOUTS.
      rows: rows of the logs, both of KuaiSAR's together.
      seed: of the draws.
      work: where the folder is made; None takes the system's place for such.

    Returns:
      What `convert` returns, and layout, rows, `source_mib`, `written_mib` and `rows_per_second`.
    """
    with tempfile.TemporaryDirectory(dir=work) as name:
        src, out = Path(name, "src"), Path(name, "out")
        src.mkdir()
        ran(_HERE, "write", layout, str(src), str(rows), str(seed))
        told = ran(_HERE, "convert", layout, str(src), str(out))
        found: dict[str, Any] = json.loads(told.splitlines()[-1])
        sizes = {"source_mib": _mib(src), "written_mib": _mib(out)}
    return {"layout": layout, "rows_read": rows, **sizes, "rows_per_second": rows / found["seconds"]} | found


def run_child(step: str, layout: str, *arguments: str) -> None:
    """What a child process does; a conversion prints its result as JSON."""
    if step == "write":
        folder, rows, seed = arguments
        write(layout, Path(folder), int(rows), int(seed))
    else:
        print(json.dumps(convert(layout, *(Path(argument) for argument in arguments))))


def rows_per_cpu_second(found: dict[str, Any]) -> float:
    """Rows a second of CPU time, all threads together: what a busy machine leaves as it is."""
    return float(found["rows_read"] / found["cpu_seconds"])


def _mib(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def main() -> None:
    """Prints the figures and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layout", choices=LAYOUTS, default="kuaisar")
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, help="a folder with room for the files")
    parser.add_argument("--out", type=Path, default=Path("adapters.json"))
    options = parser.parse_args()
    if options.rows < 1:
        parser.error("--rows must be above 0.")
    found = measure(options.layout, options.rows, options.seed, options.work)
    rejected = sum(rows for reasons in found["rejected"].values() for rows in reasons.values())
    speed = f"{found['rows_per_second']:,.0f} rows a second, {rows_per_cpu_second(found):,.0f} a second of CPU"
    print(
        f"{found['layout']}: {found['rows_read']:,} rows and {found['rows']['items']:,} items, "
        f"{found['source_mib']:,.0f} MiB, in {found['seconds']:.1f} s ({speed}); peak {found['peak_mib']:,.0f} MiB; "
        f"{found['rows']['events']:,} events, {found['written_mib']:,.0f} MiB written; {rejected:,} rows rejected"
    )
    write_json(options.out, found)


if __name__ == "__main__":
    main()
