"""From raw features of a query or an item to one vector of width d a channel (spec section 2)."""

from seminar_tf.encoders.attribute_encoder import AttributeEncoder
from seminar_tf.encoders.image_encoder import ImageEncoder
from seminar_tf.encoders.item_channels import ItemChannels
from seminar_tf.encoders.query_encoder import QueryEncoder
from seminar_tf.encoders.text_encoder import TextEncoder
from seminar_tf.encoders.vector_projection import VectorProjection

__all__ = [
    "AttributeEncoder",
    "ImageEncoder",
    "ItemChannels",
    "QueryEncoder",
    "TextEncoder",
    "VectorProjection",
]
