"""Segments against a naive builder in plain Python, and the rules that keep the future out of the past."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from seminar_tf.config import DataConfig
from seminar_tf.data.dataset import DatasetError
from seminar_tf.data.sequences import Segments, build_segments
from seminar_tf.data.splitting import hold_out_last
from seminar_tf.data.targets import in_window

TASKS = ("click", "like")
SPLITS = ("train", "eval", "test")
SEEDS = range(6)
CONFIGS = [
    DataConfig(),
    DataConfig(min_history=4, max_targets_per_user=3),
    DataConfig(target_spans="newest"),
    DataConfig(eval_spans="newest"),
    DataConfig(split="time", eval_from_ms=60, test_from_ms=80),
    DataConfig(split="time", eval_from_ms=30, test_from_ms=31, max_targets_per_user=2, target_spans="newest"),
    DataConfig(window_spans=1, eval_spans="newest", max_targets_per_user=1),
]


def random_events(seed: int, users: int = 7) -> list[dict[str, Any]]:
    """Events with ties, bursts of one request, requests torn apart by browsing, and history-only rows."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for user in range(users):
        for _ in range(int(rng.integers(0, 14))):
            time, span = int(rng.integers(0, 100)), int(rng.integers(1, 3))
            size = int(rng.integers(1, 4)) if rng.random() < 0.4 else 0
            request = f"r{len(rows)}" if size else None
            for shift in range(max(size, 1)):
                rows.append(
                    {
                        "user_id": f"u{user}é",
                        "timestamp": time + int(shift * rng.integers(0, 3)),
                        "query": None if request is None else f" q{rng.integers(3)}\t x",
                        "item_id": f"i{rng.integers(9)}",
                        "request_id": request,
                        "is_target": None if rng.random() < 0.8 else bool(rng.random() < 0.3),
                        "label_click": float(rng.integers(2)),
                        "span": span,
                    }
                )
    order = rng.permutation(len(rows))
    return [rows[place] | {"order": number} for number, place in enumerate(order)]


def random_requests(seed: int, users: int = 7) -> list[dict[str, Any]]:
    """Logged impressions, some of users without events."""
    rng = np.random.default_rng(seed + 1000)
    rows: list[dict[str, Any]] = []
    for user in range(users + 1):
        for number in range(int(rng.integers(0, 7))):
            time, span = int(rng.integers(0, 100)), int(rng.integers(1, 3))
            for _ in range(int(rng.integers(1, 4))):
                label = [0.0, 1.0, None][rng.integers(3)]
                rows.append(
                    {
                        "user_id": f"u{user}é",
                        "timestamp": time,
                        "query": [None, " a  b "][rng.integers(2)],
                        "item_id": f"i{rng.integers(9)}",
                        "request_id": f"{user}-{number}",
                        "label_like": label,
                        "span": span,
                    }
                )
    order = rng.permutation(len(rows))
    return [rows[place] | {"order": number} for number, place in enumerate(order)]


def table(rows: list[dict[str, Any]]) -> pa.Table:
    kinds = {
        "user_id": pa.string(),
        "timestamp": pa.int64(),
        "query": pa.string(),
        "item_id": pa.string(),
        "request_id": pa.string(),
        "is_target": pa.bool_(),
        "label_click": pa.float32(),
        "label_like": pa.float32(),
        "span": pa.int32(),
        "order": pa.int64(),
    }
    present = {name for row in rows for name in row} or set(kinds)
    return pa.Table.from_pylist(rows, pa.schema([(n, k) for n, k in kinds.items() if n in present]))


def as_plain(segments: Segments) -> list[dict[str, Any]]:
    """Segments as comparable dictionaries."""
    made = []
    pairs, targets = segments.pairs, segments.targets
    for index in range(len(segments)):
        held = slice(segments.pair_start[index], segments.pair_start[index + 1])
        asked = slice(segments.target_start[index], segments.target_start[index + 1])
        made.append(
            {
                "user": pairs.users[segments.user[index]].decode(),
                "split": SPLITS[segments.split[index]],
                "start": int(held.start - pairs.start[segments.user[index]]),
                "pairs": list(zip(pairs.item.rows(held), pairs.query.rows(held), pairs.timestamp[held].tolist())),
                "targets": list(
                    zip(
                        targets.position[asked].tolist(),
                        targets.timestamp[asked].tolist(),
                        targets.item.rows(asked),
                        targets.query.rows(asked),
                        [tuple(str(value) for value in row) for row in targets.labels[asked].tolist()],
                    )
                ),
                "request": segments.target_request[asked].tolist(),
            }
        )
    return made


def naive(events: list[dict], requests: list[dict] | None, config: DataConfig, newest: int) -> list[dict[str, Any]]:
    """The contract, user by user and event by event."""
    by_user = defaultdict(list)
    for row in events:
        by_user[row["user_id"]].append(row)
    made = []
    for user in sorted(by_user, key=str.encode):
        sequence = sorted(by_user[user], key=lambda row: (row["timestamp"], row["order"]))
        if requests is None:
            units = naive_event_units(sequence, config, newest)
        else:
            units = naive_request_units([r for r in requests if r["user_id"] == user], sequence, config, newest)
        made += naive_segments(user, sequence, units, config)
    return made


def clean(query: str | None) -> bytes:
    return " ".join((query or "").split()).encode()


def target(row: dict, position: int, key: Any) -> dict[str, Any]:
    labels = tuple(str(float("nan") if row.get(f"label_{t}") is None else row[f"label_{t}"]) for t in TASKS)
    told = (position, row["timestamp"], row["item_id"].encode(), clean(row["query"]), labels)
    return {"key": key, "time": row["timestamp"], "span": row["span"], "told": told}


def allowed(row: dict, config: DataConfig, newest: int) -> bool:
    width = 1 if config.target_spans == "newest" else config.window_spans or 10**9
    return row["span"] in range(newest, newest - width, -1)


def naive_event_units(sequence: list[dict], config: DataConfig, newest: int) -> list[tuple[int, list[dict]]]:
    """(position where the unit begins, its targets); a unit is closed under sharing a request."""
    members = defaultdict(list)
    for position, row in enumerate(sequence):
        members[row["request_id"] or f"alone-{position}"].append(position)
    first = {position: min(held) for held in members.values() for position in held}
    units: list[tuple[int, list[dict]]] = []
    for position, row in enumerate(sequence):
        torn = any(min(held) < position <= max(held) for held in members.values())
        if not torn:
            units.append((position, []))
        wanted = first[position] >= config.min_history and row["is_target"] is not False
        if wanted and allowed(row, config, newest):
            units[-1][1].append(target(row, first[position], first[position]))
    return [unit for unit in units if unit[1]]


def naive_request_units(
    rows: list[dict], sequence: list[dict], config: DataConfig, newest: int
) -> list[tuple[int, list[dict]]]:
    shown = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["order"]):
        if allowed(row, config, newest):
            shown[row["request_id"]].append(row)
    units = []
    for request in sorted(shown.values(), key=lambda held: (held[0]["timestamp"], held[0]["order"])):
        position = sum(row["timestamp"] < request[0]["timestamp"] for row in sequence)
        if position >= config.min_history:
            units.append((position, [target(row, position, len(units)) for row in request]))
    return units


def naive_segments(user: str, sequence: list[dict], units: list, config: DataConfig) -> list[dict[str, Any]]:
    def by_time(time: int) -> int:
        return (time >= config.eval_from_ms) + (time >= config.test_from_ms)

    targets: list[list[dict]] = [[], [], []]
    if config.split == "time":
        pair_split = [by_time(row["timestamp"]) for row in sequence]
        for _, held in units:
            for one in held:
                targets[by_time(one["time"])].append(one)
    else:
        enough = len(units) >= 3 and (config.eval_spans == "all" or units[-1][1][0]["span"] == 2)
        cuts = (units[-2][0], units[-1][0]) if enough else (len(sequence), len(sequence))
        pair_split = [(position >= cuts[0]) + (position >= cuts[1]) for position in range(len(sequence))]
        for number, (_, held) in enumerate(units):
            targets[max(0, 3 - len(units) + number) if enough else 0] += held
    if config.max_targets_per_user:
        targets[0] = targets[0][-config.max_targets_per_user :]
    made = []
    for split, name in enumerate(SPLITS):
        held = [row for row, of in zip(sequence, pair_split) if of == split]
        if held or targets[split]:
            numbers = {key: place for place, key in enumerate(sorted({one["key"] for one in targets[split]}))}
            made.append(
                {
                    "user": user,
                    "split": name,
                    "start": sum(of < split for of in pair_split),
                    "pairs": [(r["item_id"].encode(), clean(r["query"]), r["timestamp"]) for r in held],
                    "targets": [one["told"] for one in targets[split]],
                    "request": [numbers[one["key"]] for one in targets[split]],
                }
            )
    return made


def build(events: list[dict], requests: list[dict] | None, config: DataConfig) -> list[dict[str, Any]]:
    made = build_segments(table(events), None if requests is None else table(requests), config, TASKS, newest_span=2)
    return as_plain(made)


def name(config: DataConfig) -> str:
    parts = (config.split, config.target_spans, config.window_spans, config.eval_spans, config.max_targets_per_user)
    return "-".join(map(str, parts))


@pytest.mark.parametrize("config", CONFIGS, ids=name)
@pytest.mark.parametrize("seed", SEEDS)
def test_event_targets_equal_the_naive_builder(seed: int, config: DataConfig) -> None:
    events = random_events(seed)
    assert build(events, None, config) == naive(events, None, config, newest=2)


@pytest.mark.parametrize("config", CONFIGS, ids=name)
@pytest.mark.parametrize("seed", SEEDS)
def test_request_targets_equal_the_naive_builder(seed: int, config: DataConfig) -> None:
    events, requests = random_events(seed), random_requests(seed)
    assert build(events, requests, config) == naive(events, requests, config, newest=2)


@pytest.mark.parametrize("logged", [False, True])
@pytest.mark.parametrize("config", CONFIGS[:5], ids=name)
@pytest.mark.parametrize("seed", SEEDS)
def test_no_target_sees_its_own_time_and_no_segment_a_later_split(seed: int, config: DataConfig, logged: bool) -> None:
    events = random_events(seed, users=20)
    made = build(events, random_requests(seed, users=20) if logged else None, config)
    whole = defaultdict(list)
    for segment in made:
        assert segment["start"] == len(whole[segment["user"]])
        whole[segment["user"]] += segment["pairs"]
    stored = sorted(pair for pairs in whole.values() for pair in pairs)
    assert stored == sorted((e["item_id"].encode(), clean(e["query"]), e["timestamp"]) for e in events)
    for segment in made:
        sequence = whole[segment["user"]]
        end = segment["start"] + len(segment["pairs"])
        for position, time, *_ in segment["targets"]:
            assert config.min_history <= position <= (len(sequence) if segment["split"] == "test" else end)
            visible = [pair[2] for pair in sequence[:position]]
            assert max(visible) < time if logged else max(visible) <= time
        later = [t for s in made for t in s["targets"] if s["user"] == segment["user"] and s["split"] != "train"]
        if segment["split"] == "train" and later and config.split == "leave_last_out":
            assert end <= min(position for position, *_ in later)
        if segment["split"] == "train" and later and config.split == "time":
            assert max((pair[2] for pair in segment["pairs"]), default=0) < config.eval_from_ms


@pytest.mark.parametrize("seed", SEEDS)
def test_pairs_of_one_request_do_not_see_each_other(seed: int) -> None:
    events = [row | {"is_target": None, "item_id": str(row["order"])} for row in random_events(seed)]
    request = {row["item_id"].encode(): row["request_id"] for row in events}
    made = build(events, None, DataConfig())
    whole = defaultdict(list)
    for segment in made:
        whole[segment["user"]] += [item for item, _, _ in segment["pairs"]]
    for segment in made:
        for position, _, item, *_ in segment["targets"]:
            visible = {request[seen] for seen in whole[segment["user"]][:position]}
            assert item not in whole[segment["user"]][:position]
            assert request[item] is None or request[item] not in visible


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_in_which_rows_arrive_does_not_matter(seed: int) -> None:
    events, requests = random_events(seed), random_requests(seed)
    rng = np.random.default_rng(seed)
    mixed = [events[i] for i in rng.permutation(len(events))], [requests[i] for i in rng.permutation(len(requests))]
    assert build(events, requests, DataConfig()) == build(*mixed, DataConfig())


def test_without_label_columns_a_pair_is_a_click() -> None:
    rows = [row | {"timestamp": n, "order": n} for n, row in enumerate(random_events(0))]
    bare = [{k: v for k, v in row.items() if not k.startswith("label_")} for row in rows]
    made = build_segments(table(bare), None, DataConfig(), ("click",), 2)
    assert (made.targets.labels == 1).all()
    with pytest.raises(DatasetError, match="events have no label column"):
        build_segments(table(bare), None, DataConfig(), ("like",), 2)


def test_a_user_with_two_requests_keeps_both_for_training() -> None:
    row = random_events(0)[0] | {"request_id": None, "is_target": None, "user_id": "u"}
    events = [row | {"timestamp": n, "order": n, "item_id": f"i{n}"} for n in range(3)]
    assert [segment["split"] for segment in build(events, None, DataConfig())] == ["train"]
    four = [*events, row | {"timestamp": 9, "order": 9}]
    assert [segment["split"] for segment in build(four, None, DataConfig())] == ["train", "eval", "test"]


def test_no_rows_make_no_segments() -> None:
    assert build([], None, DataConfig()) == [] and build([], [], DataConfig()) == []


def test_train_pairs_are_those_of_train_segments() -> None:
    made = build_segments(table(random_events(3)), None, DataConfig(), TASKS, 2)
    items = made.pairs.item.rows(made.train_pairs())
    assert items == [pair[0] for segment in as_plain(made) if segment["split"] == "train" for pair in segment["pairs"]]


@pytest.mark.parametrize(("width", "kept"), [(0, [1, 4, 6, 7]), (1, [7]), (2, [6, 7]), (3, [6, 7]), (4, [4, 6, 7])])
def test_a_window_counts_days_whether_they_exist_or_not(width: int, kept: list[int]) -> None:
    spans = np.array([1, 4, 6, 7])
    assert spans[in_window(spans, DataConfig(window_spans=width), 7)].tolist() == kept


def test_a_user_without_newest_targets_is_wholly_in_train() -> None:
    made = hold_out_last(
        np.array([0, 0, 0, 1, 1, 1]),
        np.arange(6),
        np.array([0, 1, 2, 0, 1, 2]),
        np.array([3, 3]),
        np.array([False, True, True, True, True, False]),
    )
    assert [column.tolist() for column in made] == [[0, 1, 2, 0, 0, 0], [1, 3], [2, 3]]
