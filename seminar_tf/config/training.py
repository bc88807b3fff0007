"""One stage of training."""

from __future__ import annotations

from dataclasses import dataclass

from seminar_tf.config_io import check, positive

STRATEGIES = ("none", "mirrored", "multi_worker", "parameter_server")


@dataclass(frozen=True)
class TrainConfig:
    """One stage of training, PSU pretraining or SEMINAR fine-tuning.

    Attributes:
      epochs: passes over the train targets, at most; 0 leaves the model as it starts (a PSU that is not pretrained).
      warm_epochs: the same where training starts from an earlier model (continuous.warm_start); -1 takes `epochs`.
      warm_windows: PSU only: what a warm start's passes are over: `targets`, the windows that hold a pair from a
        sequence's first train target on (those of `data.window_spans`, so that a day's pass takes as many steps as the
        day has windows), or `all`.
      batch_size: requests in a batch, B.
      learning_rate: of Adam.
      clip_norm: global gradient norm above which gradients are scaled down; 0 switches it off.
      negatives: sampled negatives for each target (fine-tuning) or shared by the batch (pretraining).
      impression_negatives: fine-tuning only: negatives drawn beside the candidates of a logged request.
      popular_negatives: fine-tuning only: share of drawn negatives that follow popularity^popularity_power; the
        others are uniform over the known items.
      popularity_power: exponent of an item's train count in that draw.
      patience: epochs without a better eval metric before training stops; 0 never stops early.
      steps_per_checkpoint: training state is saved every so many steps, besides each epoch's end.
      max_eval_requests: eval requests, drawn by user hash, that early stopping looks at; 0 takes all.
      shuffle_buffer: requests shuffled together when sequences are streamed; in memory, all of them are.
      memory_pairs: sequences of up to so many pairs in all are held in memory, longer corpora are streamed.
      next_pair_weight, align_weight, query_item_weight: PSU only: weights of its three losses; 0 is off.
      next_pair_windows: PSU only: m, last pairs predicted at once.
      window_stride: PSU only: a window of the newest pairs ends at the end of each train sequence and at every so
        many pairs before it.
      chunk_size: PSU only: pairs of an alignment chunk.
      listwise_weight: SEMINAR only: weight of the softmax cross-entropy over a request's candidates, beside the
        binary cross-entropy that keeps scores calibrated; 0 is off.
      mixed_precision: compute in float16 on GPU, bfloat16 on CPU and TPU, variables in float32.
      strategy: replicas that train together (docs/training.md): `none` (one device), `mirrored` (all GPUs of this
        host), `multi_worker` (several hosts in step, TF_CONFIG says which), `parameter_server` (several hosts,
        asynchronous, tables sharded over servers). `batch_size` is that of all replicas together.
      jit_compile: compile the train step with XLA; only with strategy `none`.
    """

    epochs: int = 1
    warm_epochs: int = -1
    warm_windows: str = "targets"
    batch_size: int = 256
    learning_rate: float = 1e-3
    clip_norm: float = 5.0
    negatives: int = 4
    impression_negatives: int = 0
    popular_negatives: float = 0.5
    popularity_power: float = 0.75
    patience: int = 0
    steps_per_checkpoint: int = 200
    max_eval_requests: int = 0
    shuffle_buffer: int = 20_000
    memory_pairs: int = 50_000_000
    next_pair_weight: float = 1.0
    align_weight: float = 1.0
    query_item_weight: float = 1.0
    next_pair_windows: int = 1
    window_stride: int = 8
    chunk_size: int = 128
    listwise_weight: float = 0.0
    mixed_precision: bool = False
    strategy: str = "none"
    jit_compile: bool = False

    def __post_init__(self) -> None:
        for name in ("batch_size", "negatives", "steps_per_checkpoint", "shuffle_buffer", "chunk_size"):
            positive(f"train.{name}", getattr(self, name))
        positive("train.window_stride", self.window_stride)
        check(self.warm_epochs >= -1, "train.warm_epochs", self.warm_epochs, "0 or more, or -1 for train.epochs")
        check(self.warm_windows in ("targets", "all"), "train.warm_windows", self.warm_windows, "targets or all")
        check(self.impression_negatives >= 0, "train.impression_negatives", self.impression_negatives, "0 or more")
        check(0 <= self.popular_negatives <= 1, "train.popular_negatives", self.popular_negatives, "0 to 1")
        check(self.popularity_power >= 0, "train.popularity_power", self.popularity_power, "0 or more")
        check(self.memory_pairs >= 0, "train.memory_pairs", self.memory_pairs, "0 or more")
        check(self.learning_rate > 0, "train.learning_rate", self.learning_rate, "above 0")
        positive("train.next_pair_windows", self.next_pair_windows)
        zero_allowed = ("epochs", "clip_norm", "patience", "max_eval_requests", "next_pair_weight", "align_weight")
        for name in (*zero_allowed, "query_item_weight"):
            check(getattr(self, name) >= 0, f"train.{name}", getattr(self, name), "0 or more")
        check(self.strategy in STRATEGIES, "train.strategy", self.strategy, f"one of {', '.join(STRATEGIES)}")
        alone = "false, as XLA cannot compile what replicas exchange within a step, or train.strategy none"
        check(not self.jit_compile or self.strategy == "none", "train.jit_compile", self.jit_compile, alone)
