"""Starts the tasks of a cluster on this machine, for tests of training on several processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def start_task(arguments: list[str], cluster: dict | None = None, role: str = "", index: int = 0) -> subprocess.Popen:
    """A process of tests.training.<module>; its output goes to the test's."""
    environment = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"} | {"TF_CPP_MIN_LOG_LEVEL": "2"}
    if cluster:
        environment["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": {"type": role, "index": index}})
    command = [sys.executable, "-m", *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)


def free_ports(count: int) -> list[str]:
    """Addresses that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return addresses
