"""Starts the tasks of a cluster on this machine, for tests of training on several processes."""

from __future__ import annotations

import json
import socket

from tests.preloaded import Preloaded


def start_task(module: str, *arguments: str, cluster: dict | None = None, role: str = "", index: int = 0) -> Preloaded:
    """A process of tests.training.<module>, as task `index` of `role` where there is a cluster."""
    environment = {}
    if cluster:
        environment["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": {"type": role, "index": index}})
    return Preloaded(f"tests.training.{module}", *arguments, **environment)


def free_ports(count: int) -> list[str]:
    """Addresses that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return addresses
