"""Configuration: frozen dataclasses, one a stage of the road, read from YAML by `seminar_tf.config_io`.

Symbols (L, K, d, H, N) are those of the paper (arXiv 2407.10714) and of docs/model.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from seminar_tf.config_io import check, positive

STRATEGIES = ("none", "mirrored", "multi_worker", "parameter_server")


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
      min_history: a target needs at least this many visible pairs.
      max_targets_per_user: newest train targets kept per user; 0 keeps all.
      now_ms: events after this moment (ms since 1970, UTC) are rejected as in the future; 0 is the moment of ingestion.
      partitions: user-hash partitions that ingestion works on one at a time (memory against parallelism).
    """

    path: str = ""
    split: str = "leave_last_out"
    eval_from_ms: int = 0
    test_from_ms: int = 0
    targets: str = "auto"
    target_spans: str = "all"
    min_history: int = 1
    max_targets_per_user: int = 0
    now_ms: int = 0
    partitions: int = 16

    def __post_init__(self) -> None:
        check(self.split in ("leave_last_out", "time"), "data.split", self.split, "leave_last_out or time")
        check(self.targets in ("auto", "events", "requests"), "data.targets", self.targets, "auto, events or requests")
        check(self.target_spans in ("all", "newest"), "data.target_spans", self.target_spans, "all or newest")
        if self.split == "time":
            check(
                0 < self.eval_from_ms < self.test_from_ms,
                "data.eval_from_ms",
                self.eval_from_ms,
                "0 < eval_from_ms < test_from_ms (ms since 1970) when data.split is time",
            )
        positive("data.min_history", self.min_history)
        positive("data.partitions", self.partitions)
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


@dataclass(frozen=True)
class ModelConfig:
    """Sizes and switches of PSU and SEMINAR (spec sections 2 to 5).

    Attributes:
      history_length: L, newest pairs of the history that a request sees in training and evaluation.
      serving_history_length: L of the exported model.
      top_k: K, pairs that the GSU keeps for the ESU.
      top_k_per_head: each head keeps K pairs of its own, instead of one choice by the heads' mean score.
      dim: d, width of every channel.
      heads: H, attention heads.
      short_length: S, newest pairs of the short branch; 0 switches it off.
      channels: item modalities in use, of text, image, attributes.
      use_query: whether the query channel is in the sequence.
      use_id: whether the attribute channel includes an embedding of the item id.
      use_gate: learned channel gate; off gives each present channel the same weight.
      use_recency: learned time-gap and position bias in GSU and ESU.
      share_gsu_esu: share W^Q and W^K between the GSU and the ESU.
      freeze_tables: keep the restored E_PSU fixed in fine-tuning.
      freeze_projections: keep G_j fixed in fine-tuning.
      hidden_units: widths of the prediction head's layers.
      cross_layers: TFRS Cross layers before the head's dense ones.
      dropout: rate in the prediction head.
      interest_layers: causal Transformer blocks over the pairs before <EOS> attends to them.
      text_layers: Transformer layers of the text encoder; 0 is the mean of its tokens' embeddings.
    """

    history_length: int = 200
    serving_history_length: int = 1000
    top_k: int = 50
    top_k_per_head: bool = False
    dim: int = 64
    heads: int = 4
    short_length: int = 50
    channels: tuple[str, ...] = ("text", "image", "attributes")
    use_query: bool = True
    use_id: bool = True
    use_gate: bool = True
    use_recency: bool = True
    share_gsu_esu: bool = False
    freeze_tables: bool = False
    freeze_projections: bool = False
    hidden_units: tuple[int, ...] = (128, 64)
    cross_layers: int = 1
    dropout: float = 0.0
    interest_layers: int = 0
    text_layers: int = 1

    def __post_init__(self) -> None:
        for name in ("history_length", "serving_history_length", "top_k", "dim", "heads"):
            positive(f"model.{name}", getattr(self, name))
        check(self.dim % self.heads == 0, "model.heads", self.heads, f"a divisor of model.dim ({self.dim})")
        check(0.0 <= self.dropout < 1.0, "model.dropout", self.dropout, "at least 0 and below 1")
        check(self.interest_layers >= 0, "model.interest_layers", self.interest_layers, "0 or more")
        check(self.text_layers >= 0, "model.text_layers", self.text_layers, "0 or more")
        check(self.short_length >= 0, "model.short_length", self.short_length, "0 or more")
        check(self.cross_layers >= 0, "model.cross_layers", self.cross_layers, "0 or more")
        check(all(width > 0 for width in self.hidden_units), "model.hidden_units", self.hidden_units, "widths above 0")
        unknown = set(self.channels) - {"text", "image", "attributes"}
        check(bool(self.channels) and not unknown, "model.channels", self.channels, "some of text, image, attributes")


@dataclass(frozen=True)
class TrainConfig:
    """One stage of training, PSU pretraining or SEMINAR fine-tuning.

    Attributes:
      epochs: passes over the train targets, at most; 0 leaves the model as it starts (a PSU that is not pretrained).
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


@dataclass(frozen=True)
class EvaluationConfig:
    """What the Evaluator measures and what a model must reach to be pushed.

    Attributes:
      candidates: `full` (rank among the whole catalog) or `sampled` (the true item and `negatives` others).
      negatives: with `sampled`, negatives per target, drawn anew for each split and seed.
      cutoffs: k of NDCG@k and HIT@k.
      exclude_history: leave items of the visible history out of the candidates.
      min_ndcg_at_10: NDCG@10 below which a model is not blessed.
      max_ndcg_drop: how far below the last blessed model NDCG@10 may fall.
      max_requests: test requests evaluated, drawn by user hash; 0 takes all.
    """

    candidates: str = "full"
    negatives: int = 99
    cutoffs: tuple[int, ...] = (5, 10, 50)
    exclude_history: bool = False
    min_ndcg_at_10: float = 0.0
    max_ndcg_drop: float = 0.01
    max_requests: int = 0

    def __post_init__(self) -> None:
        check(self.candidates in ("full", "sampled"), "evaluation.candidates", self.candidates, "full or sampled")
        positive("evaluation.negatives", self.negatives)
        sound = 10 in self.cutoffs and min(self.cutoffs) > 0
        check(sound, "evaluation.cutoffs", self.cutoffs, "numbers above 0, 10 among them (the gate is on NDCG@10)")
        check(self.max_requests >= 0, "evaluation.max_requests", self.max_requests, "0 or more")


@dataclass(frozen=True)
class ServingConfig:
    """What is exported and where it is pushed.

    Attributes:
      model_name: name that TF Serving and clients use.
      push_dir: folder of numbered versions; empty means `<root>/serving/<model_name>`.
      warmup_candidates: candidate widths of the warm-up requests.
    """

    model_name: str = "ranker"
    push_dir: str = ""
    warmup_candidates: tuple[int, ...] = (1, 16, 200)

    def __post_init__(self) -> None:
        check(bool(self.model_name), "serving.model_name", self.model_name, "a name")
        fits = all(width > 0 for width in self.warmup_candidates)
        check(fits, "serving.warmup_candidates", self.warmup_candidates, "widths above 0")


@dataclass(frozen=True)
class PipelineConfig:
    """The whole road. `name` and `root` say where artifacts go; every random draw derives from `seed`."""

    name: str = "seminar"
    root: str = "runs"
    seed: int = 1
    data: DataConfig = field(default_factory=DataConfig)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    psu: TrainConfig = field(default_factory=TrainConfig)
    seminar: TrainConfig = field(default_factory=TrainConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    serving: ServingConfig = field(default_factory=ServingConfig)
    beam_args: tuple[str, ...] = ("--runner=FnApiRunner",)

    def __post_init__(self) -> None:
        valid = bool(self.name) and all(c.isalnum() or c in "-_" for c in self.name)
        check(valid, "name", self.name, "letters, digits, - and _")
        check(self.seed >= 0, "seed", self.seed, "0 or more")
