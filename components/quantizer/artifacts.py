"""The artifact type of codebooks."""

from __future__ import annotations

from tfx.types import artifact


class Codebook(artifact.Artifact):
    """Codebooks and codes of a model (`codebook.npz`), and how good they are (`quality.json`).

    Custom properties: `search` (how histories are searched), `bytes_per_pair`, and for each channel
    `error_<channel>` (mean squared reconstruction error over the mean squared norm), `dead_<channel>` (centroids that
    no vector has) and `entropy_<channel>` (bits a sub-vector). A model that holds no codes has the first two only.
    """

    TYPE_NAME = "seminar.Codebook"
