"""What every store of histories promises. tests/serving/gateway/test_store.py holds each of them to it."""

from __future__ import annotations

import abc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from seminar_tf.data.retention import MOST_DAYS, oldest_kept_ms
from serving.gateway.events import Event, History


@dataclass(frozen=True)
class Expired:
    """What `HistoryStore.expire` did.

    Attributes:
      users: users looked at.
      events: events deleted.
      damaged: users whose history cannot be read, and is left as it is.
    """

    users: int = 0
    events: int = 0
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoreOptions:
    """Settings that all stores have.

    Attributes:
      max_history: events of a user that are kept, the newest.
      retention_days: events older than this many days are neither seen nor taken in; 0 sets no limit. They leave the
        store by `expire`.
      timeout_s: how long to wait: for other writers, and for a server's answer.
      chunk_size: most events of a packed chunk; see `chunks.insert`. Stores read chunks of any size.
      tail_size: events of the last chunk from which on a newer event begins another one.
    """

    max_history: int = 10_000
    retention_days: int = 0
    timeout_s: float = 5.0
    chunk_size: int = 256
    tail_size: int = 32

    def __post_init__(self) -> None:
        if not 1 <= self.max_history <= 100_000:
            raise ValueError(f"max_history is {self.max_history}, expected 1 to 100,000.")
        if not 0 <= self.retention_days <= MOST_DAYS:
            raise ValueError(f"retention_days is {self.retention_days}, expected 0 to {MOST_DAYS:,}.")
        if not 1 <= self.tail_size <= self.chunk_size:
            raise ValueError(f"tail_size is {self.tail_size}, expected 1 to chunk_size ({self.chunk_size}).")
        if self.timeout_s <= 0:
            raise ValueError(f"timeout_s is {self.timeout_s:g}, expected more than 0.")


class HistoryStore(abc.ABC):
    """Lifelong histories of many users.

    - Durable: once `append` returns, its events survive the death of this process (SIGKILL) and of the store's.
    - Atomic: all events of a batch are stored, or none.
    - Idempotent: an event_id that the user has already changes nothing, in one batch or in two, also after a crash
      left the caller in doubt. With another content it is an error. Ids of events that the cap has pushed out, and
      of deleted users, are forgotten.
    - Deletions last: events up to a user's deletion change nothing any more, however often they are sent again; later
      ones begin a new history. Of the user only the deletion's moment is kept, under a hash of the id.
    - Ordered by (timestamp, UTF-8 bytes of event_id), whenever an event arrives. So the state depends on which events
      came, not on their way: no arrival order of processes decides anything.
    - Capped: the newest `max_history` events of a user are seen, older ones are dropped. An event that is older than
      all of a full history is accepted and has no effect.
    - Retained: events older than `retention_days` are not seen; such an event is accepted and has no effect.
    - Users are apart from each other, and threads and processes may append to one user at once: nothing is lost.

    Strings are any UTF-8, within `events.MAX_BYTES`. A store may be shared by threads, not across a fork.
    """

    options: StoreOptions

    @abc.abstractmethod
    def append(self, user_id: str, events: Sequence[Event]) -> int:
        """Stores events of one user, durably.

        Returns:
          How many of them were not known before.

        Raises:
          InvalidEvent: a string or a timestamp is out of its limits.
          EventConflict: a known event_id with another content.
          StoreUnavailable: not acknowledged; send the same batch again.
        """

    @abc.abstractmethod
    def history(self, user_id: str, limit: int) -> History:
        """The newest `limit` pairs, at most `max_history`, oldest first; empty for unknown users.

        Raises:
          InvalidEvent: user_id is out of its limits.
          StoreUnavailable: no answer in time.
        """

    @abc.abstractmethod
    def delete_user(self, user_id: str, until_ms: int | None = None) -> bool:
        """Deletes a user's events, durably, and remembers until when.

        Args:
          user_id: of anybody, also of users that the store does not know (yet): a replay may bring them.
          until_ms: ms since 1970; events up to this moment go, later ones stay. None deletes all there are, and takes
            the clock or the newest event's moment, whichever is later. An earlier moment than that of an earlier
            deletion takes nothing of it back.

        Returns:
          Whether there was any such event.

        Raises:
          InvalidEvent: user_id or until_ms is out of its limits.
          StoreUnavailable: as above; delete again.
        """

    @abc.abstractmethod
    def expire(self, before_ms: int) -> Expired:
        """Deletes the events of all users that are older than a moment, durably; others append meanwhile.

        No tombstone remains: what keeps such events from coming again is `retention_days`.

        Args:
          before_ms: ms since 1970; events of that moment stay.

        Raises:
          InvalidEvent: before_ms is out of its limits.
          StoreUnavailable: what was done so far is done; expire again.
        """

    @abc.abstractmethod
    def check(self) -> None:
        """Asks the store whether it can answer.

        Raises:
          StoreError: it cannot; the message says why.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Frees connections; the store takes no further calls. May be called twice."""

    def oldest_ms(self) -> int:
        """The moment, ms since 1970, before which events are neither seen nor taken in."""
        return oldest_kept_ms(self.options.retention_days, self.now_ms())

    @staticmethod
    def now_ms() -> int:
        """The clock, ms since 1970."""
        return time.time_ns() // 1_000_000

    def __enter__(self) -> HistoryStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
