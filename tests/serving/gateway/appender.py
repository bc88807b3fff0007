"""A process that appends until it is killed, and says after each append that it was acknowledged."""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Iterator

from serving.gateway.events import Event, StoreUnavailable
from serving.gateway.store import StoreOptions
from serving.gateway.stores import open_store

OPTIONS = StoreOptions(max_history=10_000, timeout_s=60.0, chunk_size=9, tail_size=3)
USERS = ("ann", "bob", "cid")


def batches(seed: int) -> Iterator[tuple[str, list[Event]]]:
    """Batches of 1 to 4 events without end; some are late, some were sent before, and no two seeds share an id."""
    rng = random.Random(seed)
    sent: dict[str, list[Event]] = {user: [] for user in USERS}
    for n in itertools.count():
        user = rng.choice(USERS)
        batch = [Event(f"{seed}-{n}-{k}", f"i{n}", f"q{k}", rng.randrange(10**6)) for k in range(rng.randint(1, 3))]
        if sent[user] and rng.random() < 0.3:
            batch.append(rng.choice(sent[user]))
        sent[user] += batch
        yield user, batch


def first(seed: int, count: int) -> list[tuple[str, list[Event]]]:
    """The first batches of a seed."""
    return list(itertools.islice(batches(seed), count))


def main() -> None:
    """Arguments: address of the store, seed, number of batches or -1 for no end."""
    address, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    stream = batches(seed) if count < 0 else first(seed, count)
    with open_store(address, OPTIONS) as store:
        for n, (user, batch) in enumerate(stream):
            try:
                store.append(user, batch)
            except StoreUnavailable as error:
                sys.exit(str(error))
            sys.stdout.write(f"{n}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
