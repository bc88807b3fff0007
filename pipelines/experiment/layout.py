"""Where an experiment keeps what it makes: each result under a name of all that it depends on.

So a run that was killed goes on where it was, a second run makes nothing, and rows that share a pretraining share its
result. Nothing here loads TensorFlow: the process that plans and reports starts at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.fingerprint import code_fingerprint
from seminar_tf.config import EvaluationConfig, PipelineConfig
from seminar_tf.config_io import to_json

# Seed of the sampled candidates: the same for every model, so that they are compared on the same lists.
CANDIDATE_SEED = 1
MODEL = "model"
_SLICE = "slice "
MARKER = "transformed.json"
# What a trained model, and its ranks, depend on.
_TRAINING_PATHS = (
    "pipelines/trainers",
    *(f"seminar_tf/{part}" for part in ("encoders", "evaluation", "export", "features", "layers", "losses")),
    *(f"seminar_tf/{part}" for part in ("models", "retrieval", "training")),
)
# Keys of ModelConfig that pretraining does not read: which ranker there is to be (`ranker`, `rivals`), what it searches
# and how its head is made.
_FINE_TUNING_ONLY = ("ranker", "rivals", "top_k", "short_length", "serving_history_length", "hidden_units")
_INGESTION_PATHS = (
    "components/behavior_example_gen",
    "pipelines/transform.py",
    "seminar_tf/data",
    "seminar_tf/features",
)
# Taken when this is imported, as the code itself is: an edit while an experiment runs counts from the next one on.
_TRAINING_CODE = code_fingerprint(*_TRAINING_PATHS)
_INGESTION_CODE = code_fingerprint(*_INGESTION_PATHS)
_FLOOR_CODE = code_fingerprint("pipelines/experiment/floors.py", *_TRAINING_PATHS)


@dataclass(frozen=True)
class Transformed:
    """What Trainers read.

    Attributes:
      examples: folder of `Split-<split>` folders.
      graph: the TransformGraph's folder.
      held_out: .npy of the item ids (int64) that are no train target; None where there are none.
    """

    examples: Path
    graph: Path
    held_out: Path | None = None

    def files(self, split: str) -> list[str]:
        """The transformed files of a split, sorted; none where there is no such split."""
        return sorted(str(file) for file in (self.examples / f"Split-{split}").glob("*"))


def content_key(*parts: str | Iterable[str]) -> str:
    """Names something by everything that it depends on: 16 hexadecimal digits."""
    text = json.dumps([part if isinstance(part, str) else list(part) for part in parts])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_json(path: Path) -> Any:
    """What `write_json` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def ingestion_folder(root: Path, config: PipelineConfig) -> Path:
    """Where a dataset is ingested: rows and datasets that read it alike share it."""
    return root / "data" / content_key(to_json(config.data), to_json(config.features))


def source_key(data: Path) -> str:
    """What an ingestion depends on: the dataset's files (names, sizes, times) and our code."""
    files = [file for file in sorted(data.rglob("*")) if file.is_file()]
    seen = [f"{file.relative_to(data)}:{file.stat().st_size}:{file.stat().st_mtime_ns}" for file in files]
    return content_key(seen, _INGESTION_CODE)


def find_ingested(folder: Path, data: Path) -> Transformed | None:
    """What an earlier run ingested; None where it did not, or data or code are others now."""
    marker = folder / MARKER
    if not marker.exists() or not data.is_dir():
        return None
    tree = read_json(marker)
    found = Transformed(Path(tree["examples"]), Path(tree["graph"]))
    current = tree["source"] == source_key(data) and found.examples.is_dir() and found.graph.is_dir()
    return found if current else None


def held_out_folder(folder: Path, data: Transformed, one_in: int) -> Path:
    """Where the copy of examples without some train targets lies."""
    return folder / f"without-{content_key(str(data.examples), str(one_in), _TRAINING_CODE)}"


def without_targets(folder: Path, data: Transformed, one_in: int) -> Transformed:
    """The same data without the train targets of one item in so many."""
    copy = held_out_folder(folder, data, one_in)
    return replace(data, examples=copy, held_out=copy / "held_out.npy")


def pretrained_folder(config: PipelineConfig, data: Transformed, models: Path) -> Path:
    """Where a PSU's result lies, model in `model`, report in `log`: configurations that pretrain alike share it."""
    model = {name: value for name, value in asdict(config.model).items() if name not in _FINE_TUNING_ONLY}
    alike = [str(config.seed), to_json(config.features), json.dumps(model, sort_keys=True), to_json(config.psu)]
    return models / f"psu-{content_key(alike, str(data.graph), _TRAINING_CODE)}"


def fine_tuned_folder(config: PipelineConfig, data: Transformed, models: Path) -> Path:
    """Where a ranker's result lies."""
    base = pretrained_folder(config, data, models)
    # Where Beam runs changes nothing in a model.
    read = {name: value for name, value in asdict(config).items() if name != "beam"}
    parts = (json.dumps(read, sort_keys=True), str(data.examples), str(base), _TRAINING_CODE)
    return models / f"ranker-{content_key(*parts)}"


@dataclass(frozen=True)
class Asked:
    """What is ranked: the same targets and candidates for every model of a dataset.

    Attributes:
      split: eval or test.
      evaluation: candidates, and how many requests.
      history_length: pairs of the visible history that `exclude_history` leaves out; the longest L of the dataset's
        rows.
    """

    split: str
    evaluation: EvaluationConfig
    history_length: int

    def file(self, folder: Path) -> Path:
        """Where the ranks of the model in a folder lie."""
        asked = to_json(self.evaluation.without_thresholds())
        return folder / f"{self.split}-{content_key(asked, str(self.history_length), str(CANDIDATE_SEED))}.npz"


@dataclass(frozen=True)
class AskedImpressions:
    """What is scored: every candidate that the logged requests of a split showed.

    Attributes:
      split: eval or test.
      history_length: pairs of a request's history.
    """

    split: str
    history_length: int

    def file(self, folder: Path) -> Path:
        """Where the scores of the model in a folder lie."""
        return folder / f"{self.split}-impressions-{content_key(str(self.history_length))}.npz"


Question = Asked | AskedImpressions


def floor_folder(name: str, dataset: str, config: PipelineConfig, data: Transformed, models: Path) -> Path:
    """Where the ranks of a floor on a dataset lie."""
    return models / f"{name}-{content_key(dataset, str(data.examples), to_json(config.features), _FLOOR_CODE)}"


def training_report(folder: Path) -> dict[str, Any]:
    """The report of the Trainer whose result lies in a folder."""
    tree: dict[str, Any] = read_json(folder / "log" / "training.json")
    return tree


@dataclass(frozen=True)
class Ranks:
    """Metrics of the positive targets of a split, in the order of the users.

    Attributes:
      users: (T,) bytes. items: (T,) int32.
      values: metric -> (T,) float64.
      slices: slice feature -> (T,) str (seminar_tf.evaluation.slices).
    """

    users: np.ndarray
    items: np.ndarray
    values: dict[str, np.ndarray]
    slices: dict[str, np.ndarray] = field(default_factory=dict)

    def arrays(self) -> dict[str, np.ndarray]:
        """What `load_ranks` reads."""
        sliced = {_SLICE + name: column for name, column in self.slices.items()}
        return {"users": self.users, "items": self.items, **self.values, **sliced}


def load_ranks(path: Path) -> Ranks:
    """Reads what a job ranked."""
    with np.load(path) as arrays:
        others = {name: arrays[name] for name in arrays.files if name not in ("users", "items")}
        values = {name: value for name, value in others.items() if not name.startswith(_SLICE)}
        slices = {name.removeprefix(_SLICE): value for name, value in others.items() if name.startswith(_SLICE)}
        return Ranks(arrays["users"], arrays["items"], values, slices)


@dataclass(frozen=True)
class Scored:
    """Impressions of a split as a model scores them, those whose label of the primary task is known.

    Attributes:
      users: (R,) bytes.
      kind: (R,) str, browse or search.
      labels: (R,) float32, above 0.5 was taken.
      scores: (R,) float: probabilities, or of a floor what it ranks by.
    """

    users: np.ndarray
    kind: np.ndarray
    labels: np.ndarray
    scores: np.ndarray


def load_scored(path: Path) -> Scored:
    """Reads what a job scored."""
    with np.load(path) as arrays:
        return Scored(*(arrays[one.name] for one in fields(Scored)))
