"""The examples of docs/clients.md run as they are printed, but for the server's address and the deadlines."""

from __future__ import annotations

import re
from pathlib import Path

import grpc
import pytest
import trustme

from serving.aio_client import AsyncClient
from serving.client import Client
from serving.descriptors import descriptor_set
from tests.serving import node_tools
from tests.serving.raw_server import RawServer

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "clients.md").read_text(encoding="utf-8")
ADDRESS = "127.0.0.1:8500"


def example(language, number, address):
    """The `number`-th block of a language, with another address, and deadlines that a busy machine meets."""
    code = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[number]
    assert code.count(ADDRESS) == 1
    return code.replace(ADDRESS, address).replace("timeout_s=2.0", "timeout_s=60.0").replace("+ 5000", "+ 60000")


def run(code):
    exec(compile(code, "docs/clients.md", "exec"), {})


def test_asyncio(server, capsys):
    run(example("python", 0, server.address))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(re.fullmatch(r"\[[\d. e-]+\] 5", line) for line in lines)


def test_asyncio_errors(server, capsys):
    run(example("python", 0, server.address).replace('"ranker"', '"nobody"'))
    assert "StatusCode.NOT_FOUND Servable not found" in capsys.readouterr().out


def test_tls(tmp_path, monkeypatch, capsys):
    authority = trustme.CA()
    served, ours = authority.issue_cert("127.0.0.1"), authority.issue_cert("somebody.test")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    ours.private_key_pem.write_to_path(str(tmp_path / "client.key"))
    ours.cert_chain_pems[0].write_to_path(str(tmp_path / "client.pem"))
    pair = (served.private_key_pem.bytes(), served.cert_chain_pems[0].bytes())
    monkeypatch.chdir(tmp_path)
    credentials = grpc.ssl_server_credentials([pair], authority.cert_pem.bytes(), require_client_auth=True)
    with RawServer(credentials=credentials) as server:
        run(example("python", 1, server.address))
    assert capsys.readouterr().out == "7\n"


@pytest.mark.parametrize(("model", "status"), [("ranker", 0), ("nobody", 1)])
def test_node(server, tmp_path, monkeypatch, model, status):
    (tmp_path / "serving.bin").write_bytes(descriptor_set().SerializeToString())
    code = example("js", 0, server.address).replace("'ranker'", f"'{model}'")
    (tmp_path / "example.js").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    done = node_tools.node("example.js")
    assert done.returncode == status, done.stderr
    if status == 0:
        assert re.fullmatch(r"\[\s*0\.\d+(,\s*0\.\d+){2}\s*\]\n", done.stdout)
    else:
        assert done.stderr.startswith("5 Servable not found")


def test_the_table_lists_the_calls():
    rows = re.findall(r"^\| `(\w+)\((.*?)\)`", PAGE, re.MULTILINE)
    for name, arguments in rows:
        for client in (Client, AsyncClient):
            known = getattr(client, name).__code__.co_varnames
            assert set(re.findall(r"\w+", arguments)) <= set(known), name
    public = {name for name in dir(Client) if not name.startswith("_")}
    assert {name for name, _ in rows} == public
