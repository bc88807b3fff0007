"""All item channels of given ids: text, image, attributes, as the configuration and the data have them."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from seminar_tf.config import ModelConfig
from seminar_tf.encoders.attribute_encoder import AttributeEncoder
from seminar_tf.encoders.image_encoder import ImageEncoder
from seminar_tf.encoders.text_encoder import TextEncoder
from seminar_tf.encoders.vector_projection import VectorProjection
from seminar_tf.features.tables import ItemFeatures
from seminar_tf.features.vocabulary import FeatureSizes
from seminar_tf.layers import seeding
from seminar_tf.layers.distinct import are_shapes_static


def active_channels(config: ModelConfig, items: ItemFeatures) -> tuple[str, ...]:
    """The configured channels that the data can fill.

    Raises:
      ValueError: none is left.
    """
    present = {
        "text": bool(items.has_text.any()),
        "image": bool(items.has_image.any()),
        "attributes": config.use_id or bool(items.has_attributes.any()) or items.numeric.shape[1] > 0,
    }
    found = tuple(name for name in config.channels if present[name])
    if not found:
        raise ValueError(
            f"model.channels {config.channels}: no item has any of them. Add a channel that the data has "
            f"({', '.join(name for name, there in present.items() if there) or 'none'})."
        )
    return found


class ItemChannels(tf.keras.layers.Layer):
    """Gathers the features of items by id and runs their encoders, once an id.

    Not rebuilt from a config: it holds the catalog's features. They are constants, not weights. Its encoders are.

    Args:
      config: sizes and channels.
      sizes: rows of the id spaces.
      items: features by item id.
      token_embedding: shared by titles and queries.
      seed: of the initial weights.
    """

    def __init__(
        self,
        config: ModelConfig,
        sizes: FeatureSizes,
        items: ItemFeatures,
        token_embedding: tf.keras.layers.Embedding,
        seed: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.channels = active_channels(config, items)
        self.token_embedding = token_embedding
        dim, heads = config.dim, config.heads
        self.text: TextEncoder | None = None
        self.text_vector: VectorProjection | None = None
        self.image: ImageEncoder | VectorProjection | None = None
        self.attributes: AttributeEncoder | None = None
        mask = np.zeros((len(items.known), len(self.channels)), bool)
        for n, channel in enumerate(self.channels):
            if channel == "text":
                mask[:, n] = items.has_text
                width = items.tokens.shape[1]
                if items.tokens.any():
                    text_seed = seeding.derive(seed, "text")
                    self.text = TextEncoder(dim, heads, config.text_layers, width, text_seed, name="text")
                if items.text_vector.shape[1]:
                    self.text_vector = VectorProjection(dim, seeding.derive(seed, "text_vector"), name="text_vector")
            elif channel == "image":
                mask[:, n] = items.has_image
                image_seed = seeding.derive(seed, "image")
                if items.image.ndim > 2:
                    self.image = ImageEncoder(dim, heads, seed=image_seed, name="image")
                else:
                    self.image = VectorProjection(dim, image_seed, name="image_vector")
            else:
                # With ids, every row but padding has this channel; OOV rows have the id of their bucket.
                mask[:, n] = np.arange(len(mask)) > 0 if config.use_id else items.has_attributes
                if items.numeric.shape[1]:
                    mask[:, n] |= items.known
                ids = sizes.items if config.use_id else 0
                self.attributes = AttributeEncoder(
                    ids, sizes.attributes, dim, seeding.derive(seed, "attributes"), name="attributes"
                )
        mask[0] = False
        self.feature_arrays = {
            name: tf.constant(value)
            for name, value in {
                "mask": mask,
                "tokens": items.tokens,
                "text_vector": items.text_vector,
                "image": items.image,
                "attributes": items.attributes,
                "numeric": items.numeric,
            }.items()
        }

    def call(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Channel vectors of items.

        Args:
          ids: [n] int32 item ids, best without repeats.

        Returns:
          vectors: [n, M, d]; zeros where masked.
          mask: [n, M] bool, False where the item lacks the modality.
        """

        def feature(name: str) -> tf.Tensor:
            return tf.gather(self.feature_arrays[name], ids)

        mask = feature("mask")
        columns = []
        for channel in self.channels:
            if channel == "text":
                columns.append(self._text(feature))
            elif channel == "image" and self.image is not None:
                columns.append(self.image(feature("image")))
            elif channel == "attributes" and self.attributes is not None:
                columns.append(self.attributes(ids, feature("attributes"), feature("numeric")))
        vectors = tf.stack(columns, axis=1)
        return tf.where(mask[..., tf.newaxis], vectors, 0.0), mask

    def _text(self, feature: Any) -> tf.Tensor:
        """Tokens, a supplied vector, or the sum of both."""
        parts = []
        if self.text is not None:
            # Rows are filled from the left: columns that no text of the call reaches need no Transformer.
            tokens = feature("tokens")
            if not are_shapes_static():
                longest = tf.reduce_max(tf.reduce_sum(tf.cast(tokens > 0, tf.int32), axis=1))
                tokens = tokens[:, : tf.maximum(longest, 1)]
            parts.append(self.text(self.token_embedding(tokens), tokens > 0))
        if self.text_vector is not None:
            parts.append(self.text_vector(feature("text_vector")))
        return tf.add_n(parts)
