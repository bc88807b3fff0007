"""Prometheus metrics of a server: the real server's names where it has one, `seminar_serving_...` for the rest.

Latencies are in microseconds, in the real server's buckets, so that one dashboard reads both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from serving.call import Call

# From 10 microseconds, each 1.8 times the one before: about 20 minutes at the end.
BUCKETS = tuple(10 * 1.8**n for n in range(33))
Versions = Callable[[], Iterable[tuple[str, int]]]


class Metrics:
    """A server's metrics, in a registry of their own.

    Attributes:
      registry: what the HTTP endpoint shows.
      config_reloads: configurations given by HandleReloadConfigRequest, by status.
    """

    def __init__(self, in_flight: Callable[[], int], versions: Versions) -> None:
        """Makes metrics.

        Args:
          in_flight: says how many calls run or wait.
          versions: says (model, version) of every loaded version.
        """
        self.registry = CollectorRegistry()
        self._children: dict[Any, Any] = {}
        ProcessCollector(registry=self.registry)
        self.registry.register(_LoadedVersions(versions))
        self._requests = Counter(
            ":tensorflow:serving:request_count", "Calls that ended, by status.", ("model_name", "signature", "status"),
            registry=None,
        )  # fmt: skip
        self.registry.register(_WithoutSuffix(self._requests))
        self._whole = self._histogram(
            ":tensorflow:serving:request_latency",
            "Microseconds from a call's arrival to its encoded answer.",
            ("model_name", "API", "entrypoint"),
        )
        self._runtime = self._histogram(
            ":tensorflow:serving:runtime_latency",
            "Microseconds of TensorFlow's run.",
            ("model_name", "API", "runtime"),
        )
        self._stages = self._histogram(
            "seminar_serving_stage_latency_microseconds",
            "Microseconds of each stage of a call: wait for a thread, decode, run, encode.",
            ("model_name", "stage"),
        )
        self._refused = Counter(
            "seminar_serving_queue_refusals", "Calls refused because the queue was full.", registry=self.registry
        )
        self._loads = Counter(
            "seminar_serving_version_loads", "Versions loaded, by outcome.", ("model_name", "status"),
            registry=self.registry,
        )  # fmt: skip
        self.config_reloads = Counter(
            "seminar_serving_config_reloads", "Model configurations given while running, by outcome.", ("status",),
            registry=self.registry,
        )  # fmt: skip
        gauge = Gauge("seminar_serving_calls_in_flight", "Calls that run or wait.", registry=self.registry)
        gauge.set_function(in_flight)

    def _histogram(self, name: str, text: str, labels: tuple[str, ...]) -> Histogram:
        return Histogram(name, text, labels, buckets=BUCKETS, registry=self.registry)

    def finished(self, call: Call, status: str) -> None:
        """Counts a call that ended.

        Args:
          call: the call.
          status: name of its gRPC status.
        """
        self._child(self._requests, call.model, call.signature, status).inc()
        if not call.model:
            return
        self._child(self._whole, call.model, call.method, "GRPC").observe(call.total() * 1e6)
        for stage, seconds in call.seconds.items():
            self._child(self._stages, call.model, stage).observe(seconds * 1e6)
        if "run" in call.seconds:
            self._child(self._runtime, call.model, call.method, "TF1").observe(call.seconds["run"] * 1e6)

    def _child(self, metric: Any, *labels: str) -> Any:
        """`metric.labels(...)`, kept: looking one up costs more than counting."""
        key = (metric, labels)
        found = self._children.get(key)
        if found is None:
            found = self._children[key] = metric.labels(*labels)
        return found

    def refuse(self) -> None:
        """Counts a call that found the queue full."""
        self._refused.inc()
        self._requests.labels("", "", "UNAVAILABLE").inc()

    def loaded(self, model: str, status: str) -> None:
        """Counts a version that was loaded or failed to."""
        self._loads.labels(model, status).inc()


class _WithoutSuffix:
    """A counter under the name it has at the real server, which does not end in `_total`."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter

    def collect(self) -> Iterator[Metric]:
        """The counter's samples, renamed."""
        for family in self._counter.collect():
            # The library writes `_total` behind a counter's name; a metric without a type keeps its own.
            plain = Metric(family.name, family.documentation, "unknown")
            for sample in family.samples:
                if sample.name.endswith("_total"):
                    plain.add_sample(family.name, sample.labels, sample.value)
            yield plain


class _LoadedVersions:
    """Which versions answer, read when asked."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions

    def collect(self) -> Iterator[Metric]:
        """One sample of 1 for each version."""
        family = GaugeMetricFamily(
            "seminar_serving_version_available",
            "1 for each version that takes calls.",
            labels=("model_name", "version"),
        )
        for model, version in self._versions():
            family.add_metric((model, str(version)), 1.0)
        yield family
