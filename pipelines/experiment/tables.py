"""Tables of an experiment: of ranked targets, of logged impressions, and by slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.experiment.layout import Ranks, Scored
from pipelines.experiment.results import ALL, ByRow, Measured, Table, check_same_targets, compared, ranked
from seminar_tf.evaluation.impressions import AUC, EXPECTED_ERROR, GAUC, LOG_LOSS, impression_metrics, user_auc
from seminar_tf.evaluation.metrics import auc
from seminar_tf.evaluation.slices import BROWSE, SEARCH, TARGETS, slice_means

RANKS = Mapping[str, Mapping[int | None, Ranks]]
IMPRESSIONS = "logged impressions"
IMPRESSION_METRICS = (GAUC, AUC, LOG_LOSS, EXPECTED_ERROR)
# One model serves both tasks of the paper: recommendation has the empty query, search the one that was typed.
CTR, PSR = "recommendation (CTR)", "personalised search (PSR)"
_PARTS = {ALL: None, CTR: BROWSE, PSR: SEARCH}


def ranking_table(
    protocol: str,
    part: str,
    ranks: RANKS,
    kinds: Mapping[str, str],
    reference: str,
    metric: str,
    metrics: Sequence[str],
    keep: np.ndarray | None = None,
) -> Table:
    """Compares what rows ranked.

    Args:
      protocol, part: names.
      ranks: of every row and seed that did not fail.
      kinds: row -> ranker, ablation or floor.
      reference: row that others are compared with.
      metric: that is compared.
      metrics: columns.
      keep: (T,) bool, the targets that count; None takes all.

    Raises:
      ValueError: rows ranked different targets.
    """
    users = check_same_targets(ranks).users[slice(None) if keep is None else keep]
    measured = {
        row: {seed: ranked(one, metric, keep) for seed, one in by_seed.items()} for row, by_seed in ranks.items()
    }
    lines, sentence = compared(measured, kinds, reference, metric, metrics)
    return Table(protocol, part, metric, tuple(metrics), "targets", len(users), len(np.unique(users)), lines, sentence)


def impression_tables(
    scored: Mapping[str, Mapping[int | None, Scored]], kinds: Mapping[str, str], reference: str
) -> list[Table]:
    """Compares how rows score logged impressions: all of them, and recommendation and search apart.

    Rows are compared by GAUC: each user's AUC, weighted by the user's impressions, among users who took some and left
    some. Floors give no probabilities, so they have neither log loss nor calibration.

    Args:
      scored: of every row and seed that did not fail.
      kinds: row -> ranker, ablation or floor.
      reference: row that others are compared with.

    Raises:
      ValueError: rows scored different impressions.
    """
    first = next(one for by_seed in scored.values() for one in by_seed.values())
    for row, by_seed in scored.items():
        for one in by_seed.values():
            if not (np.array_equal(one.users, first.users) and np.array_equal(one.labels, first.labels)):
                raise ValueError(f"{row!r} scored other impressions than the rows before it: they cannot be compared.")
    tables = []
    for part, kind in _PARTS.items():
        keep = np.ones(len(first.users), bool) if kind is None else first.kind == kind
        if not _both_classes(first, keep):
            continue
        measured: ByRow = {
            row: {seed: _measured(one, keep, probabilities=seed is not None) for seed, one in by_seed.items()}
            for row, by_seed in scored.items()
        }
        lines, sentence = compared(measured, kinds, reference, GAUC, IMPRESSION_METRICS)
        count, users = int(keep.sum()), len(np.unique(first.users[keep]))
        tables.append(Table(IMPRESSIONS, part, GAUC, IMPRESSION_METRICS, "impressions", count, users, lines, sentence))
    return tables


def _both_classes(scored: Scored, keep: np.ndarray) -> bool:
    """Whether some user took some of the impressions and left some: without one there is no GAUC."""
    by_user = user_auc(scored.labels[keep], scored.scores[keep], scored.users[keep])
    return by_user.one_class < len(by_user.users)


def _measured(scored: Scored, keep: np.ndarray, probabilities: bool) -> Measured:
    labels, scores, users = scored.labels[keep], scored.scores[keep], scored.users[keep]
    by_user = user_auc(labels, scores, users)
    both = ~np.isnan(by_user.auc)
    if probabilities:
        values = impression_metrics(labels, scores, users)
    else:
        values = {AUC: auc(labels, scores), GAUC: by_user.gauc}
    return Measured(values, by_user.auc[both], by_user.impressions[both].astype(np.float64))


@dataclass(frozen=True)
class SliceTable:
    """The compared metric, cut by what a target is.

    Attributes:
      protocol: its name.
      metric: that is cut.
      targets: `feature:value` -> how many.
      rows: row -> `feature:value` -> mean over targets and seeds.
    """

    protocol: str
    metric: str
    targets: dict[str, int]
    rows: dict[str, dict[str, float]]


def slice_table(protocol: str, ranks: RANKS, metric: str, order: Sequence[str]) -> SliceTable | None:
    """Cuts what rows ranked; features of which all targets have one value are left out.

    Args:
      protocol: its name.
      ranks: of every row and seed that did not fail; of the same targets.
      metric: that is shown.
      order: the rows, as they shall stand.

    Returns:
      The table; None where nothing is cut.

    Raises:
      InvariantError: the metrics of a slice contradict each other (known fault 8).
    """
    first = check_same_targets(ranks)
    cut = {name: column for name, column in first.slices.items() if len(np.unique(column)) > 1}
    if not cut:
        return None
    rows, targets = {}, {}
    for row in order:
        means = [slice_means(one.values, {name: one.slices[name] for name in cut}) for one in ranks[row].values()]
        targets = {name: int(found[TARGETS]) for name, found in means[0].items()}
        rows[row] = {name: float(np.mean([found[name][metric] for found in means])) for name in targets}
    return SliceTable(protocol, metric, targets, rows)
