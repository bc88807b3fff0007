"""The retention window: one rule for training's logs and for the serving side's stores. Imports nothing large."""

from __future__ import annotations

DAY_MS = 86_400_000
# A hundred years: more is a mistake.
MOST_DAYS = 36_500
# Custom property of the examples artifact: from which moment on their ingestion kept events.
OLDEST_MS = "oldest_ms"


def oldest_kept_ms(retention_days: int, now_ms: int) -> int:
    """The first moment, ms since 1970, whose events are kept; 0 where all are (`retention_days` 0)."""
    return max(0, now_ms - retention_days * DAY_MS) if retention_days else 0
