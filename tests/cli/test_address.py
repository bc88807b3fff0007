"""Addresses on the command line: what is none is told before anything large is loaded."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from seminar_tf.cli import bench, delete_users, gateway, predict
from serving.address import check_address

COMMANDS = {
    "predict": (predict.command, ["--dataset", ".", "--address"]),
    "bench": (bench.command, ["serving", "--address"]),
    "gateway": (gateway.command, ["--ranker"]),
    "delete-users": (delete_users.command, ["ann", "--gateway"]),
}


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:8500", "ranker.shop.svc:1", "[::1]:8500", "dns:///ranker:8500", "unix:/run/ranker", "ipv4:10.0.0.1:5"],
)
def test_addresses(address):
    assert check_address(address) == address


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("address", ["", "ranker", "ranker:", "ranker:http", ":8500", "ranker:0", "https://ranker:1"])
def test_what_is_none_is_refused(name, address):
    command, arguments = COMMANDS[name]
    result = CliRunner().invoke(command, [*arguments, address])
    assert result.exit_code == 2
    assert f"address is {address!r}, expected host:port such as 127.0.0.1:8500." in " ".join(result.output.split())


def test_it_is_told_without_tensorflow():
    code = (
        "import sys; from seminar_tf.cli.predict import command\n"
        "try: command(['--dataset', '.', '--address', 'ranker'])\n"
        "except SystemExit as end: print(end.code, 'tensorflow' in sys.modules, 'grpc' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout == "2 False False\n", ran.stderr
