"""Rows of KuaiSAR's files as rows of the canonical tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seminar_tf.data.attribute_lists import attribute_lists
from seminar_tf.data.masks import blank
from seminar_tf.data.rejection import (
    MISSING_ITEM_ID,
    MISSING_USER_ID,
    PROVENANCE,
    SEARCH_WITHOUT_QUERY,
    UNPARSABLE_ROW,
    Checked,
)
from seminar_tf.data.row_faults import (
    WHOLE_NUMBER,
    Fault,
    drop_faulty,
    id_faults,
    matches,
    milliseconds,
    number_faults,
    numbers,
    report_fields,
    time_faults,
)

LABELS = ("like", "follow", "forward")

REC_REQUIRED = ("user_id", "item_id", "timestamp", "click")
SRC_REQUIRED = ("user_id", "search_session_id", "search_session_timestamp", "keyword", "item_id", "click_cnt")
ITEM_REQUIRED = ("item_id", "caption")
CATEGORIES = tuple(f"{level}_level_category_id" for level in ("first", "second", "third", "fourth"))
ITEM_OPTIONAL = ("author_id", "item_type", "upload_type", "upload_time", *CATEGORIES)
# The description of the data says rec_active_level, the files say reco_active_level.
USER_OPTIONAL = ("onehot_feat1", "onehot_feat2", "search_active_level", "rec_active_level", "reco_active_level")

_WORDS = r"^\s*\[\s*[0-9]+(\s*,\s*[0-9]+)*\s*\]\s*$"
_NO_WORDS = r"^\s*(\[\s*\])?\s*$"
_MS_A_DAY = 86_400_000


@dataclass(frozen=True)
class EventOptions:
    """What becomes an event.

    Attributes:
      unclicked: keep what was shown and not clicked, as history only.
      labels: of LABELS: columns of rec_inter.csv that become label columns beside label_click.
    """

    unclicked: bool = False
    labels: tuple[str, ...] = ()


def recommended(rows: pa.Table, options: EventOptions) -> tuple[Checked, int]:
    """Rows of rec_inter.csv as browse events.

    Items that were sent at the same moment were sent together, in an order that the data does not tell: they share a
    request_id and so are not history of one another.

    Args:
      rows: REC_REQUIRED and `options.labels` as text, and PROVENANCE.
      options: what becomes an event.

    Returns:
      Events and dead letters; how many sound rows were left out, as not clicked.
    """
    faults = [*_who_and_what(rows), *time_faults(rows["timestamp"], "timestamp")]
    faults += [fault for name in ("click", *options.labels) for fault in number_faults(rows[name], name)]
    sound = drop_faulty(rows, faults, "events")
    data, clicked, unclicked = _chosen(sound.accepted, "click", options)
    moment = milliseconds(data["timestamp"])
    request = pc.binary_join_element_wise("r", moment.cast(pa.string()), "")
    labels = {name: numbers(data[name]) > 0 for name in options.labels}
    events = _events(data, moment, None, request, clicked, labels, options)
    return Checked(events, sound.rejected), unclicked


def searched(rows: pa.Table, options: EventOptions) -> tuple[Checked, int]:
    """Rows of src_inter.csv as search events: the query is the keyword's word ids, `[20, 34]` becomes `20 34`.

    Clicks of one session share a request_id. It holds the time too: some session ids come again later.

    Args:
      rows: SRC_REQUIRED as text, and PROVENANCE.
      options: what becomes an event; labels are unknown here.

    Returns:
      Events and dead letters; how many sound rows were left out, as not clicked.
    """
    keyword = rows["keyword"]
    faults = [
        *_who_and_what(rows),
        *time_faults(rows["search_session_timestamp"], "search_session_timestamp"),
        Fault(SEARCH_WITHOUT_QUERY, "keyword", matches(keyword, _NO_WORDS)),
        Fault(UNPARSABLE_ROW, "keyword", ~matches(keyword, _WORDS)),
        *id_faults(rows["search_session_id"], "search_session_id", UNPARSABLE_ROW),
        *number_faults(rows["click_cnt"], "click_cnt"),
    ]
    sound = drop_faulty(rows, faults, "events")
    data, clicked, unclicked = _chosen(sound.accepted, "click_cnt", options)
    moment = milliseconds(data["search_session_timestamp"])
    session = pc.utf8_trim_whitespace(data["search_session_id"])
    request = pc.binary_join_element_wise(pc.binary_join_element_wise("s", session, ""), moment.cast(pa.string()), "-")
    unknown = dict.fromkeys(options.labels, np.full(len(clicked), np.nan))
    events = _events(data, moment, word_ids(data["keyword"]), request, clicked, unknown, options)
    return Checked(events, sound.rejected), unclicked


def items(rows: pa.Table) -> Checked:
    """Rows of item_features.csv as items: the caption's word ids are the title, in the vocabulary of the queries.

    Author 0, category 0 and the day 1970-01-01 are the data's padding and mean unknown.

    Args:
      rows: ITEM_REQUIRED and ITEM_OPTIONAL as text, and PROVENANCE.

    Returns:
      Items, and dead letters: rows without an id, and `bad_field` for captions and days that cannot be read.
    """
    sound = drop_faulty(rows, id_faults(rows["item_id"], "item_id", MISSING_ITEM_ID), "items")
    data = sound.accepted
    captioned = matches(data["caption"], _WORDS)
    days, dated = _days(data["upload_time"])
    letters = report_fields(
        data,
        [
            Fault("", "caption", ~captioned & ~matches(data["caption"], _NO_WORDS)),
            Fault("", "upload_time", ~dated & ~blank(data["upload_time"])),
        ],
        "items",
    )
    named = [("author", _nonzero(data["author_id"]))]
    named += [(f"category{level}", _nonzero(data[column])) for level, column in enumerate(CATEGORIES, 1)]
    named += [("type", _known(data["item_type"])), ("upload", _known(data["upload_type"]))]
    made = {
        "item_id": pc.utf8_trim_whitespace(data["item_id"]),
        "title": _only(word_ids(data["caption"]), captioned),
        "attributes": attribute_lists(named, data.num_rows),
        "numeric_upload_day": pa.array(days, pa.float32(), mask=~dated | (days == 0)),
    }
    return Checked(pa.table(made), pa.concat_tables([sound.rejected, letters]))


def bare_items(ids: pa.Array) -> pa.Table:
    """Items of which no more than the id is known."""
    return pa.table(
        {
            "item_id": ids,
            "title": pa.nulls(len(ids), pa.string()),
            "attributes": attribute_lists([], len(ids)),
            "numeric_upload_day": pa.nulls(len(ids), pa.float32()),
        }
    )


def users(rows: pa.Table) -> Checked:
    """Rows of user_features.csv as users; rows are `user_id` and USER_OPTIONAL as text, and PROVENANCE."""
    sound = drop_faulty(rows, id_faults(rows["user_id"], "user_id", MISSING_USER_ID), "users")
    data = sound.accepted
    named = [(name.replace("reco_", "rec_"), data[name]) for name in USER_OPTIONAL]
    made = {"user_id": pc.utf8_trim_whitespace(data["user_id"]), "attributes": attribute_lists(named, data.num_rows)}
    return Checked(pa.table(made), sound.rejected)


def word_ids(lists: pa.ChunkedArray) -> pa.ChunkedArray:
    """`[20, 34, 3]` as `20 34 3`."""
    return pc.replace_substring_regex(pc.utf8_trim(lists, "[] \t"), r"\s*,\s*", " ")


def _who_and_what(rows: pa.Table) -> list[Fault]:
    return [
        *id_faults(rows["user_id"], "user_id", MISSING_USER_ID),
        *id_faults(rows["item_id"], "item_id", MISSING_ITEM_ID),
    ]


def _chosen(data: pa.Table, click: str, options: EventOptions) -> tuple[pa.Table, np.ndarray, int]:
    """The rows that become events, (rows,) bool whether each was clicked, and how many others there are."""
    clicked = numbers(data[click]) > 0
    if options.unclicked:
        return data, clicked, 0
    return data.filter(pa.array(clicked)), np.ones(int(clicked.sum()), bool), int((~clicked).sum())


def _events(
    data: pa.Table,
    moment: pa.Array,
    query: pa.ChunkedArray | None,
    request: pa.ChunkedArray,
    clicked: np.ndarray,
    labels: dict[str, np.ndarray],
    options: EventOptions,
) -> pa.Table:
    rows = data.num_rows
    made = {
        "user_id": pc.utf8_trim_whitespace(data["user_id"]),
        "timestamp": moment,
        "kind": _repeated("browse" if query is None else "search", rows),
        "query": pa.nulls(rows, pa.string()) if query is None else query,
        "item_id": pc.utf8_trim_whitespace(data["item_id"]),
        "action": pc.if_else(pa.array(clicked), "click", "view"),
        "request_id": request,
    }
    if options.unclicked:
        made["is_target"] = pa.array(clicked)
    if labels:
        made["label_click"] = pa.array(clicked.astype(np.float32))
        made |= {f"label_{name}": pa.array(values.astype(np.float32)) for name, values in labels.items()}
    return pa.table(made | {name: data[name] for name in PROVENANCE})


def _repeated(value: str, rows: int) -> pa.Array:
    return pa.array([value]).take(pa.array(np.zeros(rows, np.int64)))


def _days(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """(rows,) days since 1970 of texts that begin `2023-04-22`, 0 where they do not; (rows,) bool where they do."""
    moment = pc.strptime(pc.utf8_slice_codeunits(column, 0, 10), "%Y-%m-%d", "ms", error_is_null=True)
    known = ~np.array(pc.is_null(moment).to_numpy())
    days = pc.fill_null(moment.cast(pa.int64()), 0).to_numpy() // _MS_A_DAY
    return np.where(known, days, 0), known


def _nonzero(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Ids above 0; null where there is none."""
    trimmed = pc.utf8_trim_whitespace(column)
    return _only(trimmed, matches(trimmed, WHOLE_NUMBER) & ~matches(trimmed, r"^(0+|-.*)$"))


def _known(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Names, null where they say that nothing is known."""
    return _only(column, ~matches(pc.utf8_upper(column), r"^\s*(UNKNOWN|UNKNOW|EMPTY|NAN)?\s*$"))


def _only(column: pa.ChunkedArray, wanted: np.ndarray) -> pa.ChunkedArray:
    """The column, null where `wanted` is false."""
    # Not if_else: Arrow 18's reads past the data of a sliced string column beside a null scalar.
    return column.take(pa.array(np.arange(len(column)), pa.int64(), mask=~wanted))
