"""Settings of the embedded server."""

from __future__ import annotations

import os
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ModelSource:
    """A model to serve.

    Attributes:
      name: name that requests use.
      base_path: folder of numbered versions.
      num_versions: newest versions kept loaded at once (`model_version_policy { latest { num_versions } }`).
      version_labels: label -> version number that requests may ask for by name.
    """

    name: str
    base_path: str
    num_versions: int = 1
    version_labels: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.num_versions < 1:
            raise ValueError(f"model {self.name!r}: num_versions is {self.num_versions}, expected 1 or more.")


@dataclass(frozen=True)
class ServerOptions:
    """Settings of the embedded server.

    Attributes:
      host: address to listen on. Without TLS the server belongs on the loopback interface, the default.
      port: port; 0 takes a free one.
      poll_s: seconds between looks for new versions.
      max_columns: input name -> most columns of a row; wider requests are refused before they are decoded.
      threads: calls handled at once.
      inter_op_threads: TensorFlow ops run at once; each op uses one core (measured best, spec/serving.md).
      warm_up: run the requests of assets.extra/tf_serving_warmup_requests before a version takes calls.
      drain_s: seconds that calls in flight get to finish when the server stops.
    """

    host: str = "127.0.0.1"
    port: int = 8500
    poll_s: float = 1.0
    max_columns: dict[str, int] = field(default_factory=lambda: {"candidate_item_id": 20_000})
    threads: int = field(default_factory=lambda: 2 * (os.cpu_count() or 1) + 2)
    inter_op_threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    warm_up: bool = True
    drain_s: float = 10.0
