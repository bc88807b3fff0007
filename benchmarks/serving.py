"""How fast the embedded server is on one long request, and how it bears minutes of load with version swaps.

Run: python -m benchmarks.serving one     latency, its parts, one-candidate calls beside it
     python -m benchmarks.serving soak    70% of capacity for ten minutes, a new version a minute
Each makes its models under runs/serving-speed (random weights, 50,000 items), prints a table, writes its JSON there,
and with --docs docs its section of docs/serving-speed.md. The server is a process of its own on the loopback interface.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.pages import write_section
from benchmarks.random_ranker import Sizes, exported
from benchmarks.serving_one import TABLES, measure
from benchmarks.serving_report import IMAGE, PAGE, draw, one_table, soak_text
from benchmarks.serving_soak import Soak, run
from serving.load.draw import Shape

import tensorflow as tf  # isort: skip


def machine() -> dict[str, Any]:
    """What a number should be read with."""
    changed = " with changes" if _git("status", "--porcelain", "-uno") else ""
    return {
        "commit": _git("rev-parse", "--short", "HEAD") + changed,
        "tensorflow": tf.__version__,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("one", "soak"))
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--queries", type=int, default=5_000)
    parser.add_argument("--length", type=int, default=10_000, help="L")
    parser.add_argument("--candidates", type=int, default=200, help="N")
    parser.add_argument("--calls", type=int, default=300, help="one: whole requests of each row")
    parser.add_argument("--rounds", type=int, default=5, help="one: turns that the rows take")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES), help="soak takes the first")
    parser.add_argument("--signature", nargs="+", default=["rank_indexed", "rank_indexed_xla"], help="soak: the first")
    parser.add_argument("--minutes", type=float, default=10.0, help="soak: of load")
    parser.add_argument("--swap-s", type=float, default=60.0, help="soak: seconds between new versions")
    parser.add_argument("--settle-swaps", type=int, default=6, help="soak: new versions before it begins")
    parser.add_argument("--share", type=float, default=0.7, help="soak: of capacity")
    parser.add_argument("--capacity-s", type=float, default=20.0, help="soak: seconds of the closed loop")
    parser.add_argument("--out", type=Path, default=Path("runs/serving-speed"))
    parser.add_argument("--docs", type=Path, help="folder whose page and plot are written")
    options = parser.parse_args()
    sizes = Sizes(options.items, options.queries, options.length, options.candidates)
    about = {"machine": machine()}
    if options.what == "one":
        found = about | measure(options.out, sizes, options.signature, options.tables, options.calls, options.rounds)
        text = one_table(found)
    else:
        tables = "fused" if options.tables == list(TABLES) else options.tables[0]
        models = [exported(options.out / "soak" / f"{tables}-{seed}", sizes, tables, seed) for seed in (1, 2)]
        soak = Soak(
            seconds=60 * options.minutes,
            swap_s=options.swap_s,
            settle_swaps=options.settle_swaps,
            share=options.share,
            capacity_s=options.capacity_s,
            shape=Shape(1, options.length, options.candidates),
            signature=options.signature[0],
        )
        found = about | run(models, options.out / "soak" / "versions", soak)
        text = soak_text(found)
    print(text)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f"{options.what}.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if options.what == "soak":
        draw(found, (options.docs / "images" if options.docs else options.out) / IMAGE)
    if options.docs:
        write_section(options.docs / PAGE, options.what, text)


if __name__ == "__main__":
    main()
