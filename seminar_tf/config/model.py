"""Sizes and switches of the model."""

from __future__ import annotations

from dataclasses import dataclass, field

from seminar_tf.config.rivals import RivalsConfig
from seminar_tf.config_io import check, positive

SEMINAR = "seminar"
RANKERS = (SEMINAR, "din", "din_whole", "sim_hard", "sim_soft", "eta", "sdim", "twin", "qin", "sasrec")


@dataclass(frozen=True)
class ModelConfig:
    """Sizes and switches of PSU and SEMINAR (spec sections 2 to 5), and of the rankers that it is compared with.

    Attributes:
      ranker: what is fine-tuned and exported: seminar, or a rival (docs/rivals.md).
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
      rivals: what single rivals need.
    """

    ranker: str = SEMINAR
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
    rivals: RivalsConfig = field(default_factory=RivalsConfig)

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
        check(self.ranker in RANKERS, "model.ranker", self.ranker, f"one of {', '.join(RANKERS)}")
        if self.ranker != SEMINAR:
            self._check_rival()

    def _check_rival(self) -> None:
        """What a rival cannot use is refused, not passed over."""
        for name in ("top_k_per_head", "share_gsu_esu"):
            check(not getattr(self, name), f"model.{name}", True, f"false, which model.ranker {self.ranker} needs")
        if self.ranker == "sim_hard":
            prefix = self.rivals.category_prefix
            check(bool(prefix), "model.rivals.category_prefix", prefix, "a prefix, which model.ranker sim_hard needs")
        if self.ranker == "qin":
            check(self.use_query, "model.use_query", False, "true, as model.ranker qin searches by the query")
            least = f"at least model.top_k ({self.top_k}), as model.ranker is qin"
            check(self.rivals.qin_query_k >= self.top_k, "model.rivals.qin_query_k", self.rivals.qin_query_k, least)
        if self.ranker == "sasrec":
            check(self.short_length > 0, "model.short_length", 0, "above 0: the pairs that model.ranker sasrec sees")
