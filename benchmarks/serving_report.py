"""The page docs/serving-speed.md: tables and the plot from what the measurements found; words around them stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.serving_soak import FLAT_MIB_A_SWAP, WINDOW_S

PAGE = "serving-speed.md"
IMAGE = "serving-soak.png"


def one_table(found: dict[str, Any]) -> str:
    """Markdown of `serving_one.measure`."""
    sizes = found["sizes"]
    lines = [
        f"{_machine(found)}. L = {sizes['length']:,}, N = {sizes['candidates']}, d = {sizes['dim']}, "
        f"H = {sizes['heads']}, K = {sizes['top_k']}, {sizes['items']:,} items; {found['calls']} calls of each row, "
        f"one after the other, in {found['rounds']} rounds.",
        "",
        "| tables | signature | p50, ms | p99, ms | TensorFlow | conversion: server, client | gRPC "
        f"| {sizes['candidates']} one-candidate calls, s | times faster |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in found["rows"]:
        share = {name: f"{value:.1%}" for name, value in row["shares"].items()}
        lines.append(
            f"| {row['tables']} | `{row['signature']}` | {row['p50_ms']:.1f} | {row['p99_ms']:.1f} "
            f"| {share['tensorflow']} | {share['server_conversion']}, {share['client_conversion']} | {share['grpc']} "
            f"| {row['one_by_one_s']:.2f} | {row['times_faster']:.0f} |"
        )
    lines += [
        "",
        "| medians in ms | signature | TensorFlow | conversion: server, client | gRPC | an empty call, as many bytes |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in found["rows"]:
        parts = row["parts_p50_ms"]
        lines.append(
            f"| {row['tables']} | `{row['signature']}` | {parts['tensorflow']:.2f} | {parts['server_conversion']:.2f}, "
            f"{parts['client_conversion']:.2f} | {parts['grpc']:.2f} | {row['empty_call_p50_ms']:.2f} |"
        )
    return "\n".join(lines)


def soak_text(found: dict[str, Any]) -> str:
    """Markdown of `serving_soak.run`."""
    soak, summary = found["soak"], found["summary"]
    late = [s["first_answer_s"] - s["published_s"] for s in found["swaps"] if s["first_answer_s"] is not None]
    worst = max((w["p99_ms"] for w in found["windows"] if w["p99_ms"] is not None), default=float("nan"))
    slope = found["mib_a_swap"]
    flat = (
        "cannot be said: too few swaps were seen"
        if slope is None
        else f"{'yes' if found['flat'] else 'no'}: {slope:+.2f} MiB a swap"
    )
    rows = [
        ("capacity (closed loop)", f"{found['capacity']['qps']:.1f} requests a second"),
        ("load (open loop)", f"{found['offered_qps']:.1f} a second ({soak['share']:.0%}) for {soak['seconds']:g} s"),
        ("requests", f"{summary['calls']:,}"),
        ("failed", f"{found['failed']:,}" + "".join(f", {n} {code}" for code, n in summary["errors"].items())),
        ("p50, p95, p99, max", ", ".join(f"{summary[f'{n}_ms']:.1f}" for n in ("p50", "p95", "p99", "max")) + " ms"),
        (f"worst p99 of a window of {WINDOW_S:g} s", f"{worst:.1f} ms"),
        ("versions published, answered by", f"{len(found['swaps'])}, {sum(1 for _ in late)}"),
        ("from publishing to the first answer", f"{max(late):.1f} s at most" if late else "-"),
        ("memory between swaps, MiB", " ".join(f"{level:.0f}" for level in found["levels_mib"])),
        (f"flat (below {FLAT_MIB_A_SWAP:g} MiB a swap)", flat),
        ("sent late by the generator, p99", f"{summary['late_p99_ms']:.1f} ms"),
    ]  # fmt: skip
    table = ["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)]
    image = f"![Memory and p99 over the soak](images/{IMAGE})"
    return "\n".join([_machine(found) + ".", "", *table, "", image])


def _machine(found: dict[str, Any]) -> str:
    machine = found["machine"]
    return (
        f"Commit {machine['commit']}, TensorFlow {machine['tensorflow']}, {machine['cores']} cores, load average "
        f"{machine['load']:.1f} at the start"
    )


def draw(found: dict[str, Any], path: Path) -> None:
    """Memory by second and p99 by window over time, swaps marked."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(2, 1, figsize=(9, 6), sharex=True)
    above.plot([row["at_s"] for row in found["memory"]], [row["mib"] for row in found["memory"]], color="tab:blue")
    above.set_ylabel("resident memory, MiB")
    above.set_ylim(bottom=0)
    shown = [row for row in found["windows"] if row["p99_ms"] is not None]
    middle = [row["from_s"] + WINDOW_S / 2 for row in shown]
    below.plot(middle, [row["p99_ms"] for row in shown], "o-", color="tab:red", label="p99")
    below.plot(middle, [row["p50_ms"] for row in shown], "o-", color="tab:gray", label="p50")
    below.set_ylabel(f"latency by {WINDOW_S:g} s, ms")
    below.set_xlabel("seconds")
    below.set_ylim(bottom=0)
    for axis in (above, below):
        for number, swap in enumerate(found["swaps"]):
            label = "new version" if number == 0 else None
            axis.axvline(swap["published_s"], color="tab:green", linestyle=":", linewidth=1, label=label)
        axis.grid(alpha=0.3)
        axis.legend(loc="lower right")
    failed = found["failed"]
    above.set_title(
        f"{found['offered_qps']:.0f} requests a second, {failed} failed, {len(found['swaps'])} new versions"
    )
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
    pyplot.close(figure)
