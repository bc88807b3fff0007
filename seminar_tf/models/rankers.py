"""The ranker that a configuration names."""

from __future__ import annotations

from typing import Any

from seminar_tf.config import RANKERS, SEMINAR, ModelConfig
from seminar_tf.models.rivals.din import Din, DinWhole
from seminar_tf.models.rivals.eta import Eta
from seminar_tf.models.rivals.qin import Qin
from seminar_tf.models.rivals.sasrec import SasRec
from seminar_tf.models.rivals.sdim import Sdim
from seminar_tf.models.rivals.sim import SimHard, SimSoft
from seminar_tf.models.rivals.twin import Twin
from seminar_tf.models.seminar import Seminar
from seminar_tf.models.table_ranker import TableRanker

CLASSES: dict[str, type[TableRanker]] = dict(
    zip(RANKERS, (Seminar, Din, DinWhole, SimHard, SimSoft, Eta, Sdim, Twin, Qin, SasRec), strict=True)
)


def reads_categories(config: ModelConfig) -> bool:
    """Whether the ranker reads categories of items, and of which `model.rivals.category_prefix` is to be found."""
    return config.ranker == "sim_hard" or (config.ranker == "twin" and bool(config.rivals.category_prefix))


def make_ranker(config: ModelConfig, *arguments: Any, **keywords: Any) -> TableRanker:
    """Makes the ranker of `model.ranker`.

    Args:
      config: sizes and switches.
      *arguments, **keywords: as TableRanker's constructor takes them after `config`.
    """
    return CLASSES[config.ranker](config, *arguments, **keywords)


def is_seminar(config: ModelConfig) -> bool:
    """Whether the ranker is SEMINAR itself, whose search other tables than `float` are for."""
    return config.ranker == SEMINAR
