"""How the exported model searches histories."""

from __future__ import annotations

from dataclasses import dataclass

from seminar_tf.config_io import check, positive

TABLES = ("float", "fused", "codes")
SEARCHES = ("auto", "decode", "lookup")
ROTATIONS = ("weighted", "opq", "none")


@dataclass(frozen=True)
class RetrievalConfig:
    """What an exported model holds of its tables, how it searches, and what that may lose (docs/retrieval.md).

    Attributes:
      tables: `float` (every channel's vectors, as trained), `fused` (an item's channels fused beforehand: the same
        scores from one vector an item) or `codes` (product quantization).
      search: with `codes`, how a history is scored: `decode` (pairs rebuilt, one product), `lookup` (inner products
        picked by code), or `auto` (what was measured to be faster on `device` for the request's N and L).
      device: CPU or GPU, what the model will be served on; `auto` refuses one that was not measured.
      fuse: quantize an item's fused vector, instead of each of its channels.
      subvectors: S of an item's vector (N_bit of the paper), a byte each; a divisor of model.dim unless rotation is
        weighted.
      query_subvectors: the same of a query's vector, a divisor of subvectors.
      centroids: C of each sub-vector, a power of 2 up to 256.
      rotation: before quantization: `weighted` (least loss of scores, and codes of equal worth), `opq` (least loss of
        vectors) or `none`.
      train_codes: fine-tune with codes in the loop (straight-through), so that serving sees what training saw.
      commitment: with train_codes, weight of the loss that keeps vectors near their centroids.
      requests: eval requests, drawn by user hash, on which the exported model is held against exact attention.
      candidates: targets of each of them: the true item, and others drawn from the catalog.
      min_recall: Recall@K below which the model is not pushed.
      max_ndcg_lost: NDCG@10 that it may lose against exact attention on those requests; more is let pass only where it
        is within chance (the 95% interval over users reaches 0).
    """

    tables: str = "fused"
    search: str = "auto"
    device: str = "CPU"
    fuse: bool = True
    subvectors: int = 48
    query_subvectors: int = 8
    centroids: int = 256
    rotation: str = "weighted"
    train_codes: bool = False
    commitment: float = 0.25
    requests: int = 500
    candidates: int = 16
    min_recall: float = 0.9
    max_ndcg_lost: float = 0.005

    def __post_init__(self) -> None:
        check(self.tables in TABLES, "retrieval.tables", self.tables, f"one of {', '.join(TABLES)}")
        check(self.search in SEARCHES, "retrieval.search", self.search, f"one of {', '.join(SEARCHES)}")
        check(self.device in ("CPU", "GPU"), "retrieval.device", self.device, "CPU or GPU")
        for name in ("subvectors", "query_subvectors", "requests", "candidates"):
            positive(f"retrieval.{name}", getattr(self, name))
        power = self.centroids in (2, 4, 8, 16, 32, 64, 128, 256)
        check(power, "retrieval.centroids", self.centroids, "a power of 2 from 2 to 256")
        check(self.rotation in ROTATIONS, "retrieval.rotation", self.rotation, f"one of {', '.join(ROTATIONS)}")
        divides = self.subvectors % self.query_subvectors == 0
        wanted = f"a divisor of retrieval.subvectors ({self.subvectors})"
        check(divides, "retrieval.query_subvectors", self.query_subvectors, wanted)
        check(self.commitment >= 0, "retrieval.commitment", self.commitment, "0 or more")
        check(0 <= self.min_recall <= 1, "retrieval.min_recall", self.min_recall, "0 to 1")
        check(self.max_ndcg_lost >= 0, "retrieval.max_ndcg_lost", self.max_ndcg_lost, "0 or more")
        fit = self.tables == "codes" and self.fuse
        needs = "false, or retrieval.tables codes with retrieval.fuse true: the fused vector is what is trained on"
        check(fit or not self.train_codes, "retrieval.train_codes", self.train_codes, needs)
