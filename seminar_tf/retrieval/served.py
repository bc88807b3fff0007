"""A trained model made ready for export: tables as the configuration says, and how it searches them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from seminar_tf.config import RetrievalConfig
from seminar_tf.layers.distinct import are_shapes_static
from seminar_tf.models.codes_in_loop import CodesInLoop
from seminar_tf.models.seminar import Seminar
from seminar_tf.models.table_ranker import TableRanker
from seminar_tf.retrieval.auto import Choice, Measured
from seminar_tf.retrieval.codebook import Codebook, CodebookQuality
from seminar_tf.retrieval.hold import hold_codes, hold_fused, never
from seminar_tf.retrieval.quantized_pair_table import LookUp
from seminar_tf.retrieval.quantizer import QuantizedTables, encode, quantize
from seminar_tf.retrieval.rotation import Rotation
from seminar_tf.retrieval.tables import GsuTables, gsu_tables

# Methods of the measured table that the two ways of scoring codes are, in a plain graph and under XLA.
PLAIN = ("adc", "decode")
COMPILED = ("adc_xla", "decode_xla")


@dataclass(frozen=True)
class Prepared:
    """What was made of a model.

    Attributes:
      search: how its histories are searched, for people.
      bytes_per_pair: of what the tables hold for an item and a query.
      codes: where it holds codes.
      quality: of the codebooks, by channel.
    """

    search: str
    bytes_per_pair: float
    codes: QuantizedTables | None = None
    quality: dict[str, CodebookQuality] = field(default_factory=dict)


def prepare(model: TableRanker, config: RetrievalConfig, seed: int = 0) -> Prepared:
    """Puts what the configuration asks for in the place of a model's float tables; it can train no more.

    Args:
      model: trained, with float tables.
      config: which tables, which search.
      seed: of the k-means.

    Raises:
      CodebookError: fewer vectors than centroids.
      UnmeasuredError: `retrieval.search` is auto and nothing was measured on `retrieval.device`.
      ValueError: other tables than float for a ranker that is not SEMINAR.
    """
    if not isinstance(model, Seminar):
        if config.tables != "float":
            raise ValueError(
                f"config key retrieval.tables: expected float, found {config.tables!r}: the model is a "
                f"{type(model).__name__}, other tables are for model.ranker seminar."
            )
        pairs = model.pairs
        return Prepared("as trained", 4.0 * pairs.count * (pairs.dim + 1))
    tables = gsu_tables(model, ranks=False)
    modalities = len(tables.channels) - 1
    if config.tables == "float":
        return Prepared("one product of targets and pairs", 4.0 * (modalities + 1) * (tables.dim + 1))
    if config.tables == "fused":
        hold_fused(model, tables)
        return Prepared("one product of targets and pairs fused beforehand", 8.0 * (tables.dim + 1))
    codes, quality = _codes(model, tables, config, seed)
    look_up, search = _look_up(config.search, config.device)
    hold_codes(model, codes, look_up, tables)
    return Prepared(search, codes.held_bytes, codes, quality)


def _codes(
    model: Seminar, tables: GsuTables, config: RetrievalConfig, seed: int
) -> tuple[QuantizedTables, dict[str, CodebookQuality]]:
    wanted = tables.fused() if config.fuse else tables
    if config.train_codes:
        trained = _in_loop(model)
        books = [Codebook(layer.centroids.numpy()) for layer in (trained.query_quantizer, trained.item_quantizer)]
        return encode(wanted, books, Rotation(trained.rotation.numpy(), trained.back.numpy()))
    return quantize(
        wanted, config.subvectors, config.centroids, config.rotation, seed, query_subvectors=config.query_subvectors
    )


def start_codes(model: Seminar, config: RetrievalConfig, seed: int = 0) -> None:
    """Fits what a model with `retrieval.train_codes` starts from: the codebooks of its tables before fine-tuning.

    Raises:
      CodebookError: fewer vectors than centroids.
    """
    codes, _ = _codes(model, gsu_tables(model, ranks=False), replace(config, train_codes=False), seed)
    loop = _in_loop(model)
    loop.item_quantizer.assign(codes.item_centroids[0])
    loop.query_quantizer.assign(codes.query_centroids)
    loop.rotation.assign(codes.rotation)
    loop.back.assign(codes.back)


def _in_loop(model: Seminar) -> CodesInLoop:
    codes: CodesInLoop | None = model.pairs.codes
    if codes is None:
        raise ValueError("retrieval.train_codes: the model was trained without codes in its loop. Train it again.")
    return codes


def _look_up(search: str, device: str) -> tuple[LookUp, str]:
    """When scores are looked up by code, and how to say it."""
    if search == "decode":
        return never, "histories decoded, then one product"
    if search == "lookup":
        return _always, "inner products looked up by code"
    table = Measured.load(device)
    plain, compiled = Choice(table, *PLAIN), Choice(table, *COMPILED)

    def by_measurement(targets: Any, length: Any) -> Any:
        return (compiled if are_shapes_static() else plain)(targets, length)

    return by_measurement, f"auto, {table.describe(PLAIN)}; under XLA, {table.describe(COMPILED)}"


def _always(targets: object, length: object) -> bool:
    return True
