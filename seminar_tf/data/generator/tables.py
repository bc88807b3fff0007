"""A simulated block as rows of the canonical tables."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seminar_tf.data import schema
from seminar_tf.data.generator.config import DAY_MS, START_MS, GeneratorConfig
from seminar_tf.data.generator.simulate import Block
from seminar_tf.data.generator.world import World, user_ids

_AGES = ("age=18-24", "age=25-34", "age=35-49", "age=50-64", "age=65+")
_COUNTRIES = tuple(f"country=c{n}" for n in range(12))
_TELLS_FAVOURITE = 0.7

EVENTS_SCHEMA = pa.schema(
    [(name, schema.EVENTS.type_of(name)) for name in (*schema.EVENTS.required, "request_id", "is_target")]
    + [("label_click", pa.float32()), ("label_like", pa.float32())]
)
REQUESTS_SCHEMA = pa.schema(
    [(name, schema.REQUESTS.type_of(name)) for name in schema.REQUESTS.required]
    + [("label_click", pa.float32()), ("label_like", pa.float32())]
)
USERS_SCHEMA = pa.schema([(name, schema.USERS.type_of(name)) for name in ("user_id", "attributes")])


class RowWriter:
    """Turns blocks into tables; holds the strings that all blocks share.

    Attributes:
      world: the items.
      queries: every query string, by number.
    """

    def __init__(self, world: World):
        """Args: world: the items and the vocabulary."""
        self.world = world
        self.queries = pa.array(world.vocabulary.query_strings(), pa.string())

    def user_rows(self, block: Block) -> tuple[np.ndarray, pa.Table]:
        """Rows of `users`, and the moment of each user's first request, (U,) int64 ms."""
        config, users = self.world.config, len(block.interests.group)
        # A stream of its own: attributes must not shift the draws of behaviour.
        rng = np.random.default_rng([config.seed, 4, block.first_user])
        age, country, tells = rng.random(users), rng.random(users), rng.random(users) < _TELLS_FAVOURITE
        favourite = block.interests.group[:, 0] // config.subtopics
        rows = [
            [_AGES[int(a * len(_AGES))], _COUNTRIES[int(c * c * len(_COUNTRIES))]]
            + ([f"favourite={self.world.vocabulary.categories[f]}"] if told else [])
            for a, c, f, told in zip(age.tolist(), country.tolist(), favourite.tolist(), tells.tolist())
        ]
        table = pa.table({"user_id": self._block_users(block), "attributes": rows}, schema=USERS_SCHEMA)
        return block.context.time_ms[block.number == 0], table

    def event_rows(self, block: Block) -> tuple[np.ndarray, pa.Table]:
        """Rows of `events` in time order within a user, and the request each belongs to, (E,) int64."""
        # Column 0 is the direct visit before the request, the others are its slots.
        happened = np.concatenate([(block.direct >= 0)[:, None], block.click], axis=1)
        request, column = np.nonzero(happened)
        slot, direct = column - 1, column == 0
        item = np.where(direct, block.direct[request], block.item[request, slot])
        moment = np.where(direct, block.direct_ms[request], block.click_ms[request, slot])
        like = np.where(direct, block.direct_like[request], block.like[request, slot])
        query = np.where(direct, -1, block.query[request])
        none = pa.scalar(None, pa.string())
        direct_mask = pa.array(direct)
        table = pa.table(
            {
                "user_id": self._block_users(block).take(pa.array(block.user[request])),
                "timestamp": moment,
                "kind": _kind(query),
                "query": self._query(query),
                "item_id": self.world.ids.take(pa.array(item)),
                "action": _choose(direct, "open", "click"),
                "request_id": pc.if_else(direct_mask, none, self._request_ids(block).take(pa.array(request))),
                "is_target": pc.invert(direct_mask),
                "label_click": np.ones(len(item), np.float32),
                "label_like": like.astype(np.float32),
            },
            schema=EVENTS_SCHEMA,
        )
        return request, table

    def request_rows(self, block: Block) -> tuple[np.ndarray, pa.Table]:
        """Rows of `requests`, a candidate each, for the newest requests of each user; and the request of each row."""
        logged = block.shown & (block.from_end < self.world.config.logged_requests)[:, None]
        request, slot = np.nonzero(logged)
        query = block.query[request]
        table = pa.table(
            {
                "request_id": self._request_ids(block).take(pa.array(request)),
                "user_id": self._block_users(block).take(pa.array(block.user[request])),
                "timestamp": block.context.time_ms[request],
                "kind": _kind(query),
                "query": self._query(query),
                "item_id": self.world.ids.take(pa.array(block.item[request, slot])),
                "label_click": block.click[request, slot].astype(np.float32),
                "label_like": block.like[request, slot].astype(np.float32),
            },
            schema=REQUESTS_SCHEMA,
        )
        return request, table

    def _block_users(self, block: Block) -> pa.Array:
        users = len(block.interests.group)
        return user_ids(block.first_user, block.first_user + users, self.world.config)

    def _request_ids(self, block: Block) -> pa.Array:
        """`<user_id>-<number>`, (R,)."""
        users = self._block_users(block).take(pa.array(block.user))
        return pc.binary_join_element_wise(users, pc.cast(pa.array(block.number), pa.string()), "-")

    def _query(self, number: np.ndarray) -> pa.Array:
        """Strings of query numbers, null for -1."""
        return self.queries.take(pa.array(number, pa.int64(), mask=number < 0))


def span_of(moment_ms: np.ndarray, config: GeneratorConfig) -> np.ndarray:
    """Span that a moment falls in, (R,) int64: 1 before the last `spans - 1` days, then one a day."""
    day = (moment_ms - START_MS) // DAY_MS
    return 1 + np.maximum(day - config.first_daily_day + 1, 0)


def by_span(table: pa.Table, span: np.ndarray) -> dict[int, pa.Table]:
    """Rows of each span that has any, in their old order."""
    found = np.unique(span)
    if len(found) == 1:
        return {int(found[0]): table}
    return {int(n): table.filter(pa.array(span == n)) for n in found}


def _kind(query: np.ndarray) -> pa.Array:
    return _choose(query >= 0, *schema.KINDS)


def _choose(mask: np.ndarray, yes: str, no: str) -> pa.Array:
    return pc.if_else(pa.array(mask), pa.scalar(yes), pa.scalar(no))
