"""What single rival rankers need beyond the sizes that all rankers share."""

from __future__ import annotations

from dataclasses import dataclass

from seminar_tf.config_io import check, positive

# Hamming distances and positions share the 24 bits in which float32 counts exactly.
MOST_HASH_BITS = 128
MOST_HASH_WIDTH = 8


@dataclass(frozen=True)
class RivalsConfig:
    """Settings of the rivals that SEMINAR is compared with (docs/rivals.md); a ranker reads its own keys alone.

    Attributes:
      category_prefix: sim_hard and twin: item attributes that start with this are categories, such as "category=" or
        "genre="; with "" twin has no category feature, sim_hard needs one.
      attention_units: din and din_whole: width of the activation unit's hidden layer.
      hash_bits: eta: m, bits of a signature.
      sdim_hashes: sdim: m, hash functions, a multiple of sdim_width.
      sdim_width: sdim: tau, hash functions that together name a bucket.
      qin_query_k: qin: pairs that the search by the query keeps for the search by the item; at least model.top_k.
      sasrec_blocks: sasrec: causal self-attention blocks.
    """

    category_prefix: str = "category="
    attention_units: int = 36
    hash_bits: int = 64
    sdim_hashes: int = 48
    sdim_width: int = 3
    qin_query_k: int = 200
    sasrec_blocks: int = 2

    def __post_init__(self) -> None:
        for name in ("attention_units", "qin_query_k", "sasrec_blocks"):
            positive(f"rivals.{name}", getattr(self, name))
        bits = 0 < self.hash_bits <= MOST_HASH_BITS
        check(bits, "rivals.hash_bits", self.hash_bits, f"1 to {MOST_HASH_BITS}")
        width = 0 < self.sdim_width <= MOST_HASH_WIDTH
        check(width, "rivals.sdim_width", self.sdim_width, f"1 to {MOST_HASH_WIDTH}")
        groups = self.sdim_hashes > 0 and self.sdim_hashes % self.sdim_width == 0
        wanted = f"a multiple of rivals.sdim_width ({self.sdim_width}) above 0"
        check(groups, "rivals.sdim_hashes", self.sdim_hashes, wanted)
