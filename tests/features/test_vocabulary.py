"""Rows of the id spaces, counted from vocabulary files."""

from __future__ import annotations

from pathlib import Path

import pytest

from seminar_tf.config import FeatureConfig
from seminar_tf.features.vocabulary import feature_sizes, read_vocabulary, vocabulary_path


def _write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = vocabulary_path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("", []),
        ("a\nb\n", ["a", "b"]),
        ("a\nb", ["a", "b"]),
        ("one line\u2028still it\nnext\x0b\n", ["one line\u2028still it", "next\x0b"]),
    ],
)
def test_entries_are_lines_and_only_newlines_end_them(tmp_path: Path, text: str, entries: list[str]) -> None:
    _write(tmp_path, items=text)
    assert read_vocabulary(tmp_path, "items") == entries


def test_rows_count_padding_vocabulary_and_buckets(tmp_path: Path) -> None:
    _write(tmp_path, items="a\nb\nc\n", queries="q\n", tokens="t\nu\n", attributes="x\n")
    config = FeatureConfig(item_oov_buckets=2, query_oov_buckets=3, token_oov_buckets=4, attribute_oov_buckets=5)
    sizes = feature_sizes(tmp_path, config)
    assert (sizes.items, sizes.queries, sizes.tokens, sizes.attributes) == (6, 6, 7, 7)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is this a TransformGraph artifact"):
        read_vocabulary(tmp_path, "queries")
