"""What a user's keys in Redis are called."""

from __future__ import annotations

import re

from serving.gateway import events


class Keys:
    """Keys under a prefix. Those of one user are of one slot of a cluster."""

    def __init__(self, prefix: str) -> None:
        """prefix: what all keys begin with."""
        self._prefix = prefix.encode()
        self._start, self._end = b"%s:{" % self._prefix, b"}:pairs"

    def of(self, user_id: bytes) -> tuple[bytes, bytes, bytes]:
        """Hashes of a user: head and pairs by chunk; event_ids by chunk; digest by event_id."""
        start = self._start + user_id
        return start + self._end, start + b"}:ids", start + b"}:events"

    def tombstone(self, user_id: bytes) -> bytes:
        """Key of the moment until which a user is deleted; it does not hold the user's id."""
        return b"%s:deleted:%s" % (self._prefix, events.tombstone_key(user_id).hex().encode())

    @property
    def pattern(self) -> bytes:
        """SCAN's pattern for the pairs of all users."""
        return b"*".join(re.sub(rb"([\\*?\[\]])", rb"\\\1", part) for part in (self._start, self._end))

    def user_of(self, pairs: bytes) -> bytes:
        """The user whose pairs have this key."""
        return pairs[len(self._start) : -len(self._end)]
