"""The encoders' formulas in plain NumPy loops, written from the specification and not from the encoders."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seminar_tf.layers import TransformerBlock
from tests.layers.oracle import dense, layer_norm, transformer_block


def mean(rows: Sequence[np.ndarray], dim: int) -> np.ndarray:
    """Mean of the vectors there are, zeros where there are none."""
    total = np.zeros(dim)
    for row in rows:
        total = total + row
    return total / max(len(rows), 1)


def query(number: int, tokens: np.ndarray, mask: np.ndarray, table: np.ndarray, project: list) -> np.ndarray:
    """W_q of the id's vector and the mean of the tokens' vectors."""
    kept = [tokens[t] for t in range(len(tokens)) if mask[t]]
    return dense(table[number] + mean(kept, table.shape[1]), project)


def attributes(
    values: np.ndarray, numeric: np.ndarray, table: np.ndarray, scale: np.ndarray, own: np.ndarray, project: list
) -> np.ndarray:
    """W_a of the mean attribute, the numeric columns and the item's own vector."""
    x = mean([table[v] for v in values if v > 0], table.shape[1])
    for column in range(len(numeric)):
        x = x + numeric[column] * scale[column]
    return dense(x + own, project)


def sequence(
    x: np.ndarray,
    mask: np.ndarray,
    positions: np.ndarray,
    blocks: Sequence[TransformerBlock],
    norm: list,
    project: list,
) -> np.ndarray:
    """A Transformer over one text or one image: positions, blocks, mean of what is valid, norm, projection."""
    x = np.stack([x[t] + positions[t] for t in range(len(x))])
    for block in blocks:
        x = transformer_block(x, mask, block)
    kept = [x[t] for t in range(len(x)) if mask[t]]
    return dense(layer_norm(mean(kept, x.shape[1]), *norm), project)


def patches(pixels: np.ndarray, size: int) -> np.ndarray:
    """Patches of one image [S, S, 3], row by row, in each the pixels row by row and their colours, from -1 to 1."""
    found = []
    for top in range(0, pixels.shape[0], size):
        for left in range(0, pixels.shape[1], size):
            values = []
            for y in range(top, top + size):
                for x in range(left, left + size):
                    values += [float(pixels[y, x, colour]) / 127.5 - 1 for colour in range(3)]
            found.append(values)
    return np.array(found)
