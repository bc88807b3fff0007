"""Public Keras layers of the model, one a file, and the small functions they share."""

from seminar_tf.layers.activation_unit import ActivationUnit
from seminar_tf.layers.channel_gate import ChannelGate
from seminar_tf.layers.cross_feature_bias import CrossFeatureBias
from seminar_tf.layers.exact_search_unit import ExactSearchUnit
from seminar_tf.layers.interest_unit import InterestUnit
from seminar_tf.layers.position_bias import PositionBias
from seminar_tf.layers.prediction_head import PredictionHead
from seminar_tf.layers.product_quantizer import ProductQuantizer
from seminar_tf.layers.quantized_attention import QuantizedTargetAttention
from seminar_tf.layers.recency_bias import RecencyBias
from seminar_tf.layers.search_unit import SearchUnit
from seminar_tf.layers.short_branch import ShortBranch
from seminar_tf.layers.sim_hash import SimHash
from seminar_tf.layers.stateless_dropout import StatelessDropout
from seminar_tf.layers.target_attention import TargetAttention
from seminar_tf.layers.transformer_block import TransformerBlock

__all__ = [
    "ActivationUnit",
    "ChannelGate",
    "CrossFeatureBias",
    "ExactSearchUnit",
    "InterestUnit",
    "PositionBias",
    "PredictionHead",
    "ProductQuantizer",
    "QuantizedTargetAttention",
    "RecencyBias",
    "SearchUnit",
    "ShortBranch",
    "SimHash",
    "StatelessDropout",
    "TargetAttention",
    "TransformerBlock",
]
