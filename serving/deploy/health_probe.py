"""Asks a server's gRPC health service; exit status 0 if it says SERVING.

    python -m serving.deploy.health_probe tf-serving:8500

TensorFlow Serving's image has no probe, no Python and no curl, so Compose runs this one beside it from the gateway's
image. Kubernetes has gRPC probes of its own and does not need it.
"""

from __future__ import annotations

import time

import click
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc


def status(address: str, service: str = "", timeout_s: float = 2.0) -> tuple[bool, str]:
    """Whether a server is serving.

    Args:
      address: host:port.
      service: a service's name; "" asks for the server as a whole.
      timeout_s: deadline of the call, connecting included.

    Returns:
      (True if SERVING, what was answered or why nothing was).
    """
    # A stranger's proxy settings should not decide how a server next door is reached.
    with grpc.insecure_channel(address, options=(("grpc.enable_http_proxy", 0),)) as channel:
        try:
            request = health_pb2.HealthCheckRequest(service=service)
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=timeout_s, wait_for_ready=True)
        except grpc.RpcError as error:
            return False, f"{error.code().name}: {error.details()}"
    name = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return answer.status == health_pb2.HealthCheckResponse.SERVING, name


@click.command()
@click.argument("address")
@click.option("--service", default="", help="A service's name; empty asks for the server as a whole.")
@click.option("--timeout", "timeout_s", default=2.0, show_default=True, help="Seconds for one call.")
@click.option("--watch", "watch_s", default=0.0, help="Ask again every so many seconds and print each change.")
def command(address: str, service: str, timeout_s: float, watch_s: float) -> None:
    """Exit with 0 if the server at ADDRESS says SERVING, with 1 if not."""
    before = None
    while True:
        serving, message = status(address, service, timeout_s)
        if message != before:
            click.echo(f"{address}: {message}")
            before = message
        if not watch_s:
            raise SystemExit(0 if serving else 1)
        time.sleep(watch_s)


if __name__ == "__main__":
    command()
