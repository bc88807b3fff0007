"""Settings of the embedded server."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

METRICS_PATH = "/monitoring/prometheus/metrics"
# Most columns of a row, by input: what a request may cost, not what a model can do.
DEFAULT_COLUMNS = {
    "candidate_item_id": 20_000,
    "history_item_id": 50_000,
    "history_query": 50_000,
    "history_timestamp": 50_000,
    "user_attributes": 1_000,
}


@dataclass(frozen=True)
class ModelSource:
    """A model to serve.

    Attributes:
      name: name that requests use.
      base_path: folder of numbered versions.
      num_versions: newest versions kept loaded at once (`model_version_policy { latest { num_versions } }`).
      version_labels: label -> version number that requests may ask for by name.
      policy: `latest`, `all` or `specific`: which of the versions in the folder are loaded.
      versions: the numbers that `specific` loads.
    """

    name: str
    base_path: str
    num_versions: int = 1
    version_labels: dict[str, int] = field(default_factory=dict)
    policy: str = "latest"
    versions: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.num_versions < 1:
            raise ValueError(f"model {self.name!r}: num_versions is {self.num_versions}, expected 1 or more.")
        if self.policy not in ("latest", "all", "specific"):
            raise ValueError(f"model {self.name!r}: policy is {self.policy!r}, expected latest, all or specific.")

    def wanted(self, found: tuple[int, ...]) -> tuple[int, ...]:
        """Which of the versions in the folder are to be loaded.

        Args:
          found: version numbers in the folder, ascending.

        Returns:
          Some of them, ascending.
        """
        if self.policy == "all":
            return found
        if self.policy == "specific":
            return tuple(number for number in found if number in self.versions)
        return found[-self.num_versions :]


@dataclass(frozen=True)
class Tls:
    """PEM texts of a server with TLS (ssl.config of the real server).

    Attributes:
      key: the server's private key.
      certificates: its certificate, and those that lead to the authority.
      client_ca: certificates of the authorities that clients' certificates come from; "" where clients need none.
      verify_clients: only clients with a certificate of `client_ca` get in (mutual TLS).
    """

    key: str = field(repr=False)
    certificates: str
    client_ca: str = ""
    verify_clients: bool = False


@dataclass(frozen=True)
class ServerOptions:
    """Settings of the embedded server.

    Attributes:
      host: address to listen on. Without TLS the server belongs on the loopback interface, the default.
      port: port; 0 takes a free one.
      tls: keys and certificates; None takes calls in the clear.
      poll_s: seconds between looks for new versions.
      max_columns: input name -> most columns of a row; wider requests are refused before they are decoded.
      max_rows: most rows of a request that ranks. One that embeds has `max_elements` rows at most.
      max_scores: most rows times candidates of a request, which is what a call's memory grows with.
      max_elements: most values of one input, also where a request names one value and lets it be repeated.
      max_string_bytes: most bytes of an id, query or attribute. Those in a tf.Example are bounded by the message.
      max_message_bytes: most bytes of a request; gRPC refuses more (RESOURCE_EXHAUSTED) before it reads them.
      threads: calls handled at once.
      max_queued: calls that may wait for a thread; more are refused at once (UNAVAILABLE).
      inter_op_threads: TensorFlow ops run at once; each op uses one core (measured best, spec/serving.md).
      warm_up: run the requests of assets.extra/tf_serving_warmup_requests before a version takes calls.
      allow_labels_of_unavailable_models: a reload may give a new label to a version that is not loaded yet, as
        `--allow_version_labels_for_unavailable_models` of the real server.
      lame_duck_s: seconds between NOT_SERVING and the first refused call at the end, for balancers to notice.
      drain_s: seconds that calls in flight get to finish when the server stops.
      monitoring_port: port of the metrics; 0 takes a free one, None serves none.
      monitoring_host: address of the metrics.
      monitoring_path: path of the metrics.
      access_log: one log line a call; never what the call holds.
    """

    host: str = "127.0.0.1"
    port: int = 8500
    tls: Tls | None = None
    poll_s: float = 1.0
    max_columns: dict[str, int] = field(default_factory=lambda: dict(DEFAULT_COLUMNS))
    max_rows: int = 1024
    max_scores: int = 100_000
    max_elements: int = 1 << 23
    max_string_bytes: int = 4096
    max_message_bytes: int = 64 << 20
    threads: int = field(default_factory=lambda: 2 * (os.cpu_count() or 1) + 2)
    max_queued: int = 100
    inter_op_threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    warm_up: bool = True
    allow_labels_of_unavailable_models: bool = False
    lame_duck_s: float = 0.0
    drain_s: float = 10.0
    monitoring_port: int | None = None
    monitoring_host: str = "127.0.0.1"
    monitoring_path: str = METRICS_PATH
    access_log: bool = False

    def __post_init__(self) -> None:
        for name in ("max_rows", "max_scores", "max_elements", "max_string_bytes", "max_message_bytes", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 1 or more.")
        if self.max_queued < 0:
            raise ValueError(f"max_queued is {self.max_queued}, expected 0 or more.")
