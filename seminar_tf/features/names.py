"""The one name of every feature, from the log's example through the transformed example to the request.

Ids in the transformed example and in every batch: 0 is padding, then the vocabulary, then the OOV buckets. For
queries 1 is the empty query (browsing), a learned row of its own.
"""

from __future__ import annotations

# A segment: the pairs of one user in one split, in time order, and the targets that point into them.
USER_ID = "user_id"
USER_ATTRIBUTES = "user_attributes"
SPAN = "span"
SPLIT = "split"  # train, eval or test: the split that the segment belongs to
SEGMENT_START = "segment_start"  # position in the user's whole sequence of the segment's first pair
HISTORY_ITEM_ID = "history_item_id"
HISTORY_QUERY = "history_query"
HISTORY_TIMESTAMP = "history_timestamp"  # ms since 1970, UTC

# Targets. The history visible to a target is the pairs at positions [0, target_position) of the whole sequence.
TARGET_POSITION = "target_position"
TARGET_ITEM_ID = "target_item_id"
TARGET_QUERY = "target_query"
TARGET_TIMESTAMP = "target_timestamp"
TARGET_REQUEST = "target_request"  # targets of one logged request share this number within their segment
LABEL_PREFIX = "label_"

# The catalog, one example an item.
ITEM_ID = "item_id"
ITEM_TITLE = "item_title"
ITEM_TEXT = "item_text"
ITEM_TOKENS = "item_tokens"  # after Transform: ids of the tokens of title, then text
ITEM_ATTRIBUTES = "item_attributes"  # `name=value` strings
ITEM_NUMERIC_PREFIX = "item_numeric_"
ITEM_IMAGE = "item_image"  # raw uint8 RGB pixels, image_size x image_size x 3 bytes; the same after Transform
ITEM_IMAGE_VECTOR = "item_image_vector"
ITEM_TEXT_VECTOR = "item_text_vector"
ITEM_COUNT = "item_count"  # times the item is a pair of the train segments

# The known queries, one example each.
QUERY = "query"
QUERY_TOKENS = "query_tokens"
QUERY_COUNT = "query_count"

# A request, at serving time and in batches.
CANDIDATE_ITEM_ID = "candidate_item_id"
REQUEST_TIMESTAMP = "request_timestamp"

SPLITS = ("train", "eval", "test", "catalog", "queries")
SEGMENT_SPLITS = ("train", "eval", "test")

# Files under transform_fn/assets, one entry a line.
ITEM_VOCABULARY = "items"
QUERY_VOCABULARY = "queries"
TOKEN_VOCABULARY = "tokens"
ATTRIBUTE_VOCABULARY = "attributes"

PADDING_ID = 0
EMPTY_QUERY_ID = 1
FIRST_ITEM_ID = 1
FIRST_QUERY_ID = 2
FIRST_TOKEN_ID = 1
FIRST_ATTRIBUTE_ID = 1


def label(task: str) -> str:
    """Feature name of a task's label."""
    return LABEL_PREFIX + task


def numeric(name: str) -> str:
    """Feature name of an item's numeric column."""
    return ITEM_NUMERIC_PREFIX + name
