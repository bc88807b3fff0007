"""Settings of the gateway."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GatewayOptions:
    """Settings of the gateway; the store has its own (`store.StoreOptions`).

    Attributes:
      host: address to listen on. There is neither TLS nor a password: the loopback interface, or a closed network.
      port: gRPC port; 0 takes a free one.
      metrics_port: HTTP port of Prometheus's metrics at the same host; 0 takes a free one, None has none.
      threads: calls handled at once.
      history_length: newest pairs that are sent to the model; more than its `serving_history_length` is waste.
      default_task: task whose score ranks where a request names none; "" means the model's only task.
      timeout_s: longest time of a Rank call, also where the caller gave no deadline or a later one.
      margin_s: time kept from the deadline for the answer's way back.
      rank_without_store: rank with an empty history while the store fails, and say so in the answer; False fails.
      fixed_shapes: pad every request to `history_length`, `max_candidates` and `max_attributes`. Needed where
        TensorFlow Serving batches requests: it pads shorter ones with copies of their first values, not with padding.
      max_candidates, max_attributes, max_events: values of one request above which it is refused.
      max_request_bytes: size of a request above which gRPC refuses it.
      max_future_s: how far an event may be ahead of the gateway's clock. Without, one event in microseconds would stay
        the newest of its user for ever.
      health_s: seconds between looks whether the store answers.
      drain_s: seconds that calls in flight get to finish when the gateway stops.
    """

    host: str = "127.0.0.1"
    port: int = 8600
    metrics_port: int | None = None
    threads: int = 16
    history_length: int = 10_000
    default_task: str = ""
    timeout_s: float = 2.0
    margin_s: float = 0.005
    rank_without_store: bool = False
    fixed_shapes: bool = False
    max_candidates: int = 20_000
    max_attributes: int = 100
    max_events: int = 10_000
    max_request_bytes: int = 16 << 20
    max_future_s: float = 86_400.0
    health_s: float = 2.0
    drain_s: float = 10.0

    def __post_init__(self) -> None:
        for name in ("threads", "history_length", "max_candidates", "max_events", "max_request_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 1 or more.")
        for name in ("timeout_s", "health_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name):g}, expected more than 0.")
        for name in ("margin_s", "max_attributes", "max_future_s", "drain_s"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name):g}, expected 0 or more.")
        if self.margin_s >= self.timeout_s:
            raise ValueError(f"margin_s is {self.margin_s:g}, expected less than timeout_s ({self.timeout_s:g}).")
