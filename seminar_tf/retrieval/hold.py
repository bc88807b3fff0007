"""What a trained model holds for export in the place of its float tables (spec section 6)."""

from __future__ import annotations

import numpy as np

from seminar_tf.models.seminar import Seminar
from seminar_tf.retrieval.prefused_pair_table import PrefusedPairTable
from seminar_tf.retrieval.quantized_pair_table import LookUp, QuantizedPairTable
from seminar_tf.retrieval.quantizer import QuantizedTables
from seminar_tf.retrieval.tables import GsuTables, gsu_tables


def never(targets: object, length: object) -> bool:
    """The LookUp of a table whose histories are always decoded."""
    return False


def hold_codes(
    model: Seminar, codes: QuantizedTables, look_up: LookUp = never, tables: GsuTables | None = None
) -> None:
    """Puts codes in the place of a trained model's float tables; the model can train no more.

    Args:
      model: the model that the codes are of.
      codes: of its channels, or of its fused items.
      look_up: when scores are looked up by code; by default histories are decoded, then multiplied.
      tables: `gsu_tables(model)` where it is there already.

    Raises:
      ValueError: the codes are of another model's tables.
    """
    tables = gsu_tables(model, ranks=False) if tables is None else tables
    if codes.channels == tables.fused().channels:
        tables = tables.fused()
    if codes.channels != tables.channels or codes.dim != tables.dim:
        mine, theirs = (tables.channels, tables.dim), (codes.channels, codes.dim)
        raise ValueError(f"the codes are of channels and d {theirs}, the model has {mine}.")
    for name in ("item_logit", "query_logit"):
        one, other = getattr(codes, name), getattr(tables, name)
        if one.shape != other.shape or not np.allclose(one, other, rtol=1e-4, atol=1e-4):
            raise ValueError(f"the codes are of another model: {name} differs from that of this model's gate.")
    model.pairs = QuantizedPairTable(codes, look_up, name="quantized_pairs")


def hold_fused(model: Seminar, tables: GsuTables) -> None:
    """Puts vectors fused beforehand in the place of a trained model's tables: same scores; it can train no more.

    Args:
      model: the model.
      tables: `gsu_tables(model)`.
    """
    model.pairs = PrefusedPairTable(tables, name="fused_pairs")
