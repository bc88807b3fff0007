"""What a model must reach, what is exported, and where it goes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from seminar_tf.config_io import check, positive


@dataclass(frozen=True)
class EvaluationConfig:
    """What the Evaluator measures and what a model must reach to be pushed (docs/evaluation.md).

    Attributes:
      candidates: `full` (rank among the whole catalog), `sampled` (the true item and `negatives` others, uniform over
        the catalog) or `popular` (the others in proportion to their train counts).
      negatives: with `sampled` and `popular`, negatives per target, drawn anew for each split and seed.
      cutoffs: k of NDCG@k and HIT@k.
      exclude_history: leave items of the visible history out of the candidates.
      min_ndcg_at_10: NDCG@10 below which a model is not blessed.
      max_ndcg_drop: how far below the last blessed model NDCG@10 may fall.
      max_log_loss_rise: how far above the last blessed model the primary task's log loss on logged impressions may
        rise, as a share of that model's. Not asked where targets are events: nothing says there what was not taken.
      max_expected_error: expected calibration error of the primary task above which a model is not blessed; 1 accepts
        any. Not asked where targets are events.
      max_requests: test requests evaluated, drawn by user hash; 0 takes all.
    """

    candidates: str = "full"
    negatives: int = 99
    cutoffs: tuple[int, ...] = (5, 10, 50)
    exclude_history: bool = False
    min_ndcg_at_10: float = 0.0
    max_ndcg_drop: float = 0.01
    max_log_loss_rise: float = 0.05
    max_expected_error: float = 1.0
    max_requests: int = 0

    def __post_init__(self) -> None:
        known = ("full", "sampled", "popular")
        check(self.candidates in known, "evaluation.candidates", self.candidates, "full, sampled or popular")
        positive("evaluation.negatives", self.negatives)
        sound = 10 in self.cutoffs and min(self.cutoffs) > 0
        check(sound, "evaluation.cutoffs", self.cutoffs, "numbers above 0, 10 among them (the gate is on NDCG@10)")
        check(self.max_log_loss_rise >= 0, "evaluation.max_log_loss_rise", self.max_log_loss_rise, "0 or more")
        fits = 0 < self.max_expected_error <= 1
        check(fits, "evaluation.max_expected_error", self.max_expected_error, "above 0, at most 1")
        check(self.max_requests >= 0, "evaluation.max_requests", self.max_requests, "0 or more")

    def without_thresholds(self) -> EvaluationConfig:
        """The same measurement, whatever a model must reach: what ranks and exported models depend on."""
        thresholds = ("min_ndcg_at_10", "max_ndcg_drop", "max_log_loss_rise", "max_expected_error")
        return replace(self, **{name: getattr(EvaluationConfig, name) for name in thresholds})


_MEASURED = "rank_indexed"
# As seminar_tf.export.inputs lists them.
SIGNATURE_NAMES = ("serving_default", _MEASURED, "examples", "rank_indexed_xla", "search_history", "embed_items")


@dataclass(frozen=True)
class ServingConfig:
    """What is exported and where it is pushed.

    Attributes:
      model_name: name that TF Serving and clients use.
      push_dir: folder of numbered versions; empty means `<root>/serving/<model_name>`.
      warmup_candidates: candidate widths of the warm-up requests.
      signatures: those that are exported; empty exports all that the ranker has. Each is traced, which is most of an
        export's time. `rank_indexed` is what the components measure a model by.
    """

    model_name: str = "ranker"
    push_dir: str = ""
    warmup_candidates: tuple[int, ...] = (1, 16, 200)
    signatures: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check(bool(self.model_name), "serving.model_name", self.model_name, "a name")
        fits = all(width > 0 for width in self.warmup_candidates)
        check(fits, "serving.warmup_candidates", self.warmup_candidates, "widths above 0")
        for name in self.signatures:
            check(name in SIGNATURE_NAMES, "serving.signatures", name, f"some of {', '.join(SIGNATURE_NAMES)}")
        measured = not self.signatures or _MEASURED in self.signatures
        check(measured, "serving.signatures", self.signatures, f"{_MEASURED} among them: models are measured by it")
