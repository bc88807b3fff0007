"""Operation day after day: what a day's training starts from, and what its data are held against."""

from __future__ import annotations

from dataclasses import dataclass

from seminar_tf.config_io import check, positive

# Derived features of a span's events that a drift check can compare (components/drift/rows.py).
CATEGORICAL = ("item_id", "query", "kind")
NUMERIC = ("hour", "query_words", "events_per_user", "gap_hours")


@dataclass(frozen=True)
class ContinuousConfig:
    """Continuous operation (docs/operations.md).

    Attributes:
      warm_start: `off`, or `last_blessed`: both Trainers start from the last blessed model of an earlier span.
      other_architecture: what becomes of a warm start from a model that is built otherwise: `refuse` (an error that
        names the difference) or `cold` (a warning, and training from scratch with all epochs).
    """

    warm_start: str = "off"
    other_architecture: str = "refuse"

    def __post_init__(self) -> None:
        known = self.warm_start in ("off", "last_blessed")
        check(known, "continuous.warm_start", self.warm_start, "off or last_blessed")
        known = self.other_architecture in ("refuse", "cold")
        check(known, "continuous.other_architecture", self.other_architecture, "refuse or cold")


@dataclass(frozen=True)
class DriftConfig:
    """How far the newest span's events may be from those of the span before (docs/operations.md).

    Attributes:
      action: `off`, `warn` (log and go on) or `block` (the run ends before anything is trained).
      categorical: of item_id, query and kind: those compared by the L-infinity distance of their frequencies.
      max_l_infinity: largest accepted L-infinity distance.
      numeric: of hour (of the day, UTC), query_words, events_per_user and gap_hours (since the user's event before):
        those compared by the Jensen-Shannon divergence of their histograms.
      max_jensen_shannon: largest accepted divergence, 0 (equal) to 1.
      min_events: spans with fewer events are not compared: their distances are chance.
    """

    action: str = "off"
    categorical: tuple[str, ...] = CATEGORICAL
    max_l_infinity: float = 0.1
    numeric: tuple[str, ...] = NUMERIC
    max_jensen_shannon: float = 0.1
    min_events: int = 1000

    def __post_init__(self) -> None:
        check(self.action in ("off", "warn", "block"), "drift.action", self.action, "off, warn or block")
        for name, known in (("categorical", CATEGORICAL), ("numeric", NUMERIC)):
            found = getattr(self, name)
            check(set(found) <= set(known), f"drift.{name}", found, f"some of {', '.join(known)}")
        for name in ("max_l_infinity", "max_jensen_shannon"):
            check(0 < getattr(self, name) <= 1, f"drift.{name}", getattr(self, name), "above 0, at most 1")
        positive("drift.min_events", self.min_events)
