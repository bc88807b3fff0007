"""E_PSU: the channel vectors of every item and query, which pretraining hands to fine-tuning (spec section 4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tensorflow as tf

from seminar_tf.features.npz import save_npz

_EXTRA = "extra:"


@dataclass(frozen=True)
class ChannelTables:
    """What PSU writes and SEMINAR restores.

    Attributes:
      channels: item channels in order, some of text, image, attributes; the query channel comes before them.
      item: (V, M, d) float32 by item id; zeros where `item_mask` is False.
      item_mask: (V, M) bool, whether the item has the channel.
      query: (Q, d) float32 by query id.
      weights: weights of layers that SEMINAR starts from, by `<layer>/<n>` (gate, and where the next pair was learned
        interest and search).
    """

    channels: tuple[str, ...]
    item: np.ndarray
    item_mask: np.ndarray
    query: np.ndarray
    weights: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        wanted = (len(self.item), len(self.channels))
        if self.item.ndim != 3 or self.item.shape[1] != wanted[1] or self.item_mask.shape != wanted:
            raise ValueError(
                f"ChannelTables: item {self.item.shape} and item_mask {self.item_mask.shape} do not fit "
                f"{len(self.channels)} channels {self.channels}: expected (V, {wanted[1]}, d) and {wanted}."
            )
        if self.query.ndim != 2 or self.query.shape[1] != self.item.shape[2]:
            raise ValueError(
                f"ChannelTables: query {self.query.shape} does not have the items' width {self.item.shape[2]}."
            )

    @property
    def dim(self) -> int:
        """d, width of a channel."""
        return int(self.item.shape[2])

    def save(self, path: str | Path) -> None:
        """Writes an .npz file, whole or not at all."""
        arrays = {
            "channels": np.array(self.channels),
            "item": self.item,
            "item_mask": self.item_mask,
            "query": self.query,
        }
        save_npz(path, arrays | {_EXTRA + name: value for name, value in self.weights.items()})

    @classmethod
    def load(cls, path: str | Path) -> ChannelTables:
        """Reads what `save` wrote."""
        with np.load(path) as arrays:
            return cls(
                channels=tuple(str(name) for name in arrays["channels"]),
                item=arrays["item"],
                item_mask=arrays["item_mask"],
                query=arrays["query"],
                weights={n.removeprefix(_EXTRA): arrays[n] for n in arrays.files if n.startswith(_EXTRA)},
            )


def pack(name: str, layer: tf.keras.layers.Layer) -> dict[str, np.ndarray]:
    """The weights of a built layer as `<name>/<n>` entries of ChannelTables.weights."""
    return {f"{name}/{n}": np.asarray(value) for n, value in enumerate(layer.get_weights())}


def restore(name: str, layer: tf.keras.layers.Layer, tables: ChannelTables) -> bool:
    """Sets the weights of a built layer from `tables`.

    Returns:
      Whether the tables have them; without pretraining they do not, and the layer keeps its initial weights.

    Raises:
      ValueError: the tables' weights have other shapes, as from a PSU of another configuration.
    """
    values = [tables.weights[f"{name}/{n}"] for n in range(len(layer.weights)) if f"{name}/{n}" in tables.weights]
    if not values:
        return False
    wanted, found = [tuple(w.shape) for w in layer.weights], [v.shape for v in values]
    if wanted != found:
        raise ValueError(
            f"pretrained weights of {name} have shapes {found}, this model needs {wanted}. "
            "Pretrain with the same model configuration (dim, heads, use_gate, use_recency, interest_layers)."
        )
    layer.set_weights(values)
    return True
