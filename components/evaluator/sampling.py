"""Which users are evaluated when only some requests are wanted: those with the smallest hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import apache_beam as beam

Draw = tuple[int, bytes, int]


def user_hash(user: bytes, salt: str) -> int:
    """64 bits that depend on the user and the salt only."""
    return int.from_bytes(hashlib.blake2b(salt.encode() + b"/" + user, digest_size=8).digest(), "big")


class SmallestHashes(beam.CombineFn):
    """The users with the smallest hashes whose requests together reach a number.

    Input elements are (hash, user_id, requests). The result, a frozenset of user ids, does not depend on the order in
    which they come. No more than twice that number of users is held at a time.
    """

    def __init__(self, max_requests: int) -> None:
        """Takes users until they have `max_requests` requests; the last one is taken whole."""
        self.max_requests = max_requests

    def create_accumulator(self) -> list[Draw]:
        return []

    def add_input(self, accumulator: list[Draw], element: Draw) -> list[Draw]:
        accumulator.append(element)
        return self._cut(accumulator) if len(accumulator) > 2 * self.max_requests else accumulator

    def merge_accumulators(self, accumulators: Iterable[list[Draw]]) -> list[Draw]:
        return self._cut([draw for accumulator in accumulators for draw in accumulator])

    def extract_output(self, accumulator: list[Draw]) -> frozenset[bytes]:
        return frozenset(user for _, user, _ in self._cut(accumulator))

    def _cut(self, draws: list[Draw]) -> list[Draw]:
        total, kept = 0, []
        for draw in sorted(draws):
            if total >= self.max_requests:
                break
            kept.append(draw)
            total += draw[2]
        return kept
