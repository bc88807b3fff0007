"""The artifact type of a span's own statistics."""

from __future__ import annotations

from tfx.types import artifact


class SpanStatistics(artifact.Artifact):
    """TFDV statistics of the events of one span alone (`stats.pb`), and the distances found (`drift.json`).

    StatisticsGen's are of whole histories, where a day more changes next to nothing. Custom properties: `span`,
    `events`, and `alarms`, features that were too far from the span before.
    """

    TYPE_NAME = "seminar.SpanStatistics"
