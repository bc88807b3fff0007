"""Stored bytes: a user's sequence once and targets by position, against one example a target.

Both sides hold the same users, histories and targets, are serialized by the same function and written by the same
gzip TFRecord writer. An example per target repeats the whole history that its target sees. Writing all of those takes
long, so they are written for the first users only and scaled by the number of users; what was measured and what was
scaled is printed. Histories below some 1,000 events fit in gzip's window of 32 KiB, which then removes most of the
repetition by itself: the ratio is about long histories.

Run: python -m benchmarks.storage [--users 1000 --events 5000 --targets 100 --sample 20 --out storage.json]
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

import seminar_tf  # noqa: F401  (settles Keras before TensorFlow loads)

# isort: split
import tensorflow as tf

from components.json_file import write_json
from seminar_tf.config import DataConfig
from seminar_tf.data.examples import bytes_feature, float_feature, int_feature, segment_examples, serialize
from seminar_tf.data.sequences import Segments, build_segments
from seminar_tf.features import names

_TASKS = ("click",)
_ITEMS, _QUERIES = 100_000, 20_000
_SEARCHES = 0.3  # share of pairs that have a query
_START_MS, _YEARS = 1_500_000_000_000, 5
_USERS_AT_ONCE = 100


def make_events(first_user: int, users: int, events: int, targets: int, seed: int, spread: bool = False) -> pa.Table:
    """Events of some users, with long-tail items and queries.

    Args:
      first_user: number of the first user.
      users: how many.
      events: events of each.
      targets: targets of each: its newest events, or with `spread` every so many events, so that the history a target
        sees is half as long on average, and the ratio half as large.
      seed: of the random draws.
      spread: see `targets`.
    """
    rng = np.random.default_rng([seed, first_user])
    count = users * events
    user = np.repeat(np.arange(first_user, first_user + users), events)
    span_ms = _YEARS * 365 * 86_400_000
    moment = np.sort(rng.integers(0, span_ms, (users, events)), axis=1).reshape(-1) + _START_MS
    items = np.minimum(rng.zipf(1.2, count), _ITEMS)
    queries = np.minimum(rng.zipf(1.2, count), _QUERIES)
    position = np.tile(np.arange(events), users)
    chosen = position % (events // targets) == events // targets - 1 if spread else position >= events - targets
    return pa.table(
        {
            "user_id": pa.array([f"user-{n:09d}" for n in user]),
            "timestamp": pa.array(moment),
            "query": pa.array([f"query words {n}" for n in queries], mask=rng.random(count) >= _SEARCHES),
            "item_id": pa.array([f"item-{n:08d}" for n in items]),
            "is_target": pa.array(chosen),
            "span": pa.array(np.ones(count, np.int32)),
            "order": pa.array(np.arange(count)),
        }
    )


def target_examples(segments: Segments) -> list[bytes]:
    """The other layout: for each target one example with the history it sees, the target and its labels."""
    pairs, targets = segments.pairs, segments.targets
    made = []
    for row, user in enumerate(targets.user):
        seen = slice(pairs.start[user], pairs.start[user] + targets.position[row])
        one = slice(row, row + 1)
        features = {
            names.USER_ID: bytes_feature([pairs.users[user]]),
            names.HISTORY_ITEM_ID: bytes_feature(pairs.item.rows(seen)),
            names.HISTORY_QUERY: bytes_feature(pairs.query.rows(seen)),
            names.HISTORY_TIMESTAMP: int_feature(pairs.timestamp[seen].tolist()),
            names.TARGET_ITEM_ID: bytes_feature(targets.item.rows(one)),
            names.TARGET_QUERY: bytes_feature(targets.query.rows(one)),
            names.TARGET_TIMESTAMP: int_feature(targets.timestamp[one].tolist()),
        }
        features[names.label("click")] = float_feature(targets.labels[row].tolist())
        made.append(serialize(features))
    return made


def measure(users: int, events: int, targets: int, sample: int, seed: int, spread: bool = False) -> dict[str, float]:
    """Writes both layouts to a temporary folder.

    Args:
      users: users of our layout, all written.
      events: events of each user.
      targets: targets of each user.
      sample: users of the example per target that are written; their bytes are scaled to `users`.
      seed: of the events.
      spread: targets all over the history instead of its newest events.

    Returns:
      Bytes, examples and seconds of both layouts, and the ratio of bytes.
    """
    config = DataConfig()
    ours = per_target = raw_ours = raw_per_target = examples = baseline_examples = 0
    build_seconds = 0.0
    with tempfile.TemporaryDirectory() as folder:
        segment_file, target_file = Path(folder) / "segments.gz", Path(folder) / "targets.gz"
        segment_writer = tf.io.TFRecordWriter(str(segment_file), options="GZIP")
        target_writer = tf.io.TFRecordWriter(str(target_file), options="GZIP")
        with segment_writer, target_writer:
            # The sample is a chunk of its own, so that no user is in both.
            bounds = [0, sample, *range(sample + _USERS_AT_ONCE, users, _USERS_AT_ONCE), users]
            for first, last in itertools.pairwise(bounds):
                table = make_events(first, last - first, events, targets, seed, spread)
                started = time.perf_counter()
                segments = build_segments(table, None, config, _TASKS, 1)
                build_seconds += time.perf_counter() - started
                for record in segment_examples(segments, 1, _TASKS, {}):
                    segment_writer.write(record)
                    raw_ours += len(record)
                    examples += 1
                if first < sample:
                    for record in target_examples(segments):
                        target_writer.write(record)
                        raw_per_target += len(record)
                        baseline_examples += 1
        ours, per_target = segment_file.stat().st_size, target_file.stat().st_size
    scale = users / sample
    return {
        "users": users,
        "events_per_user": events,
        "targets_per_user": targets,
        "sampled_users": sample,
        "segment_examples": examples,
        "segment_bytes": ours,
        "segment_bytes_uncompressed": raw_ours,
        "target_examples": round(baseline_examples * scale),
        "target_bytes_measured": per_target,
        "target_bytes": round(per_target * scale),
        "target_bytes_uncompressed": round(raw_per_target * scale),
        "ratio": per_target * scale / ours,
        "ratio_uncompressed": raw_per_target * scale / raw_ours,
        "build_seconds": build_seconds,
    }


def main() -> None:
    """Prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("users", 1000), ("events", 5000), ("targets", 100), ("sample", 20), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--spread", action="store_true", help="targets all over the history, not its newest events")
    parser.add_argument("--out", type=Path, default=Path("storage.json"))
    options = parser.parse_args()
    if not 0 < options.sample <= options.users:
        parser.error("--sample must lie between 1 and --users.")
    found = measure(options.users, options.events, options.targets, options.sample, options.seed, options.spread)
    print(f"{options.users:,} users, {options.events:,} events and {options.targets} targets each; gzip TFRecord files")
    print(f"{'layout':<32}{'examples':>12}{'bytes':>18}{'before gzip':>18}")
    for label, prefix in (("one segment a user and split", "segment"), ("one example a target", "target")):
        sizes = (found[f"{prefix}_examples"], found[f"{prefix}_bytes"], found[f"{prefix}_bytes_uncompressed"])
        print(f"{label:<32}{sizes[0]:>12,}{sizes[1]:>18,}{sizes[2]:>18,}")
    print(f"ratio: {found['ratio']:.1f} times smaller ({found['ratio_uncompressed']:.1f} before gzip).")
    print(
        f"The second row is measured on {options.sample} users ({found['target_bytes_measured']:,} bytes) and scaled "
        f"to {options.users:,}."
    )
    write_json(options.out, found)


if __name__ == "__main__":
    main()
