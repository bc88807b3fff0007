"""What a Beam component wrote, as a few hashes that are the same on every runner.

  python -m pipelines.output_hash ARTIFACT_FOLDER ...

Runners cut outputs into other files and other orders. A split's hash is over its records whatever their order, a
TransformGraph's over its vocabularies: equal hashes mean equal outputs.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import seminar_tf  # noqa: F401  (settles Keras before TensorFlow loads)

# isort: split
import tensorflow as tf

_SPLIT = "Split-"
_VOCABULARIES = "transform_fn/assets"


def output_hashes(folder: str | Path) -> dict[str, str]:
    """Hashes one artifact.

    Args:
      folder: of an Examples artifact (`Split-<name>/*.gz`) or of a TransformGraph.

    Returns:
      By name of split or vocabulary, the number of records and a SHA-256.

    Raises:
      ValueError: the folder is neither.
    """
    folder = Path(folder)
    splits = sorted(folder.glob(f"{_SPLIT}*"))
    if splits:
        return {split.name.removeprefix(_SPLIT): _records(split) for split in splits}
    vocabularies = sorted((folder / _VOCABULARIES).glob("*"))
    if not vocabularies:
        raise ValueError(f"{folder} has neither {_SPLIT}* (examples) nor {_VOCABULARIES}/* (a TransformGraph).")
    return {file.name: _digest(file.read_bytes().splitlines()) for file in vocabularies}


def _records(split: Path) -> str:
    files = sorted(str(file) for file in split.glob("*"))
    records = tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator()
    return _digest(sorted(hashlib.sha256(_canonical(record)).digest() for record in records))


def _canonical(record: bytes) -> bytes:
    """The Example with its features in order: how a process orders the fields of a map says nothing."""
    canonical: bytes = tf.train.Example.FromString(record).SerializeToString(deterministic=True)
    return canonical


def _digest(parts: list[bytes]) -> str:
    whole = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts))
    return f"{len(parts)} {whole.hexdigest()}"


def main(folders: list[str]) -> None:
    """Prints the hashes of each folder."""
    for folder in folders:
        for name, found in output_hashes(folder).items():
            sys.stdout.write(f"{found}  {folder} {name}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
