"""Where logs are, how they become sequences and targets, and the widths of features."""

from __future__ import annotations

from dataclasses import dataclass

from seminar_tf.config_io import check, positive


@dataclass(frozen=True)
class DataConfig:
    """Where the canonical tables are and how they become sequences and targets (docs/data.md).

    Attributes:
      path: dataset folder holding `span-<n>/{events,items,users,requests}/*.parquet`.
      split: `leave_last_out` (a user's last target is test, the one before eval) or `time` (by timestamp).
      eval_from_ms: with `time`, targets at or after this moment (ms since 1970) are eval.
      test_from_ms: with `time`, targets at or after this moment are test.
      targets: `events` (every pair is a target, negatives are drawn), `requests` (logged impressions with
        their labels), or `auto`: requests where the dataset has any.
      target_spans: `all` or `newest`: which spans' events may be targets; older spans then only give history.
      window_spans: a rolling window: events of the newest so many spans may be targets, those numbered
        n - window_spans + 1 to n, whether all of them exist or not; older ones only give history. 0 takes all.
      eval_spans: `all`, or `newest`: with `leave_last_out`, only users whose last target is of the newest span are held
        out, so that a model is judged by the newest day; the others' targets are all train.
      min_history: a target needs at least this many visible pairs.
      max_targets_per_user: newest train targets kept per user; 0 keeps all.
      now_ms: events after this moment (ms since 1970, UTC) are rejected as in the future; 0 is the moment of ingestion.
      retention_days: events and requests older than this many days before the moment of ingestion are left out of
        everything; 0 keeps all.
      incremental: keep the checked rows of each ingestion, so that the next span's are appended to them; the result is
        that of reading all spans again.
      partitions: user-hash partitions that ingestion works on one at a time (memory against parallelism).
    """

    path: str = ""
    split: str = "leave_last_out"
    eval_from_ms: int = 0
    test_from_ms: int = 0
    targets: str = "auto"
    target_spans: str = "all"
    window_spans: int = 0
    eval_spans: str = "all"
    min_history: int = 1
    max_targets_per_user: int = 0
    now_ms: int = 0
    retention_days: int = 0
    incremental: bool = True
    partitions: int = 16

    def __post_init__(self) -> None:
        check(self.split in ("leave_last_out", "time"), "data.split", self.split, "leave_last_out or time")
        check(self.targets in ("auto", "events", "requests"), "data.targets", self.targets, "auto, events or requests")
        check(self.target_spans in ("all", "newest"), "data.target_spans", self.target_spans, "all or newest")
        check(self.eval_spans in ("all", "newest"), "data.eval_spans", self.eval_spans, "all or newest")
        check(self.window_spans >= 0, "data.window_spans", self.window_spans, "0 or more")
        alone = "0, as data.target_spans is newest"
        check(self.target_spans == "all" or not self.window_spans, "data.window_spans", self.window_spans, alone)
        if self.split == "time":
            whole = "all, as data.split is time: set eval_from_ms and test_from_ms in its place"
            check(self.eval_spans == "all", "data.eval_spans", self.eval_spans, whole)
            check(
                0 < self.eval_from_ms < self.test_from_ms,
                "data.eval_from_ms",
                self.eval_from_ms,
                "0 < eval_from_ms < test_from_ms (ms since 1970) when data.split is time",
            )
        positive("data.min_history", self.min_history)
        positive("data.partitions", self.partitions)
        check(self.retention_days >= 0, "data.retention_days", self.retention_days, "0 or more")
        check(self.now_ms >= 0, "data.now_ms", self.now_ms, "0 or more")
        check(self.max_targets_per_user >= 0, "data.max_targets_per_user", self.max_targets_per_user, "0 or more")


@dataclass(frozen=True)
class FeatureConfig:
    """Vocabularies and fixed widths that Transform, training and serving share.

    Attributes:
      max_item_vocabulary: most items that get an id of their own (by train frequency); the rest share OOV buckets.
      max_query_vocabulary: the same for queries.
      max_token_vocabulary: the same for tokens, which titles, texts and queries share.
      max_attribute_vocabulary: the same for `name=value` attributes of items and users.
      item_oov_buckets, query_oov_buckets, token_oov_buckets, attribute_oov_buckets: hash buckets for the unknown.
      max_title_tokens: tokens of title and text kept per item.
      max_query_tokens: tokens kept per query.
      max_attributes: attributes kept per item or user.
      image_size: height and width in pixels that item images are resized to at ingestion.
    """

    max_item_vocabulary: int = 10_000_000
    max_query_vocabulary: int = 1_000_000
    max_token_vocabulary: int = 100_000
    max_attribute_vocabulary: int = 100_000
    item_oov_buckets: int = 16
    query_oov_buckets: int = 16
    token_oov_buckets: int = 16
    attribute_oov_buckets: int = 4
    max_title_tokens: int = 24
    max_query_tokens: int = 8
    max_attributes: int = 16
    image_size: int = 32

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            positive(f"features.{name}", value)
