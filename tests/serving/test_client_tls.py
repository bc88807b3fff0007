"""TLS of both clients, against a server with certificates made for the test: who is trusted, and who is not."""

from __future__ import annotations

import grpc
import numpy as np
import pytest
import trustme

from serving.client import ServingError, Tls
from tests.serving.raw_server import KINDS, RawServer

INPUTS = {"id": np.array([1, 2], np.int32)}
kinds = pytest.mark.parametrize("kind", KINDS)


class Authority:
    """A certificate authority with a certificate for the loopback address, one for a name, and one of a client."""

    def __init__(self):
        self._ca = trustme.CA()
        self.root = self._ca.cert_pem.bytes()
        self.by_address = self._issue("127.0.0.1")
        self.by_name = self._issue("ranker.test")
        self.client = self._issue("somebody.test")

    def _issue(self, name):
        found = self._ca.issue_cert(name)
        return found.private_key_pem.bytes(), b"".join(pem.bytes() for pem in found.cert_chain_pems)


@pytest.fixture(scope="module")
def ours():
    return Authority()


@pytest.fixture(scope="module")
def theirs():
    return Authority()


def secure(pair, client_root=None):
    credentials = grpc.ssl_server_credentials([pair], client_root, require_client_auth=client_root is not None)
    return RawServer(credentials=credentials)


def refused(kind, address, tls):
    """The error of a call that must not come through."""
    with kind(address, tls=tls, max_attempts=1) as client, pytest.raises(ServingError) as caught:
        client.predict(INPUTS, timeout_s=20.0)
    assert caught.value.code == grpc.StatusCode.UNAVAILABLE
    return str(caught.value)


@kinds
def test_a_trusted_server(kind, ours):
    with secure(ours.by_address) as server, kind(server.address, tls=Tls(ours.root)) as client:
        client.wait_until_ready(30.0)
        np.testing.assert_array_equal(client.predict(INPUTS).outputs["id"], [1, 2])


@kinds
def test_the_certificates_name_must_fit(kind, ours):
    with secure(ours.by_name) as server:
        assert "use TLS exactly if" in refused(kind, server.address, Tls(ours.root))
        with kind(server.address, tls=Tls(ours.root, target_name="ranker.test")) as client:
            assert client.predict(INPUTS).version == 7
        refused(kind, server.address, Tls(ours.root, target_name="other.test"))


@kinds
def test_servers_that_are_not_trusted(kind, ours, theirs):
    with secure(theirs.by_address) as server:
        refused(kind, server.address, Tls(ours.root))
        refused(kind, server.address, Tls())
        assert not server.requests


@kinds
def test_plain_text_and_tls_do_not_mix(kind, ours):
    with secure(ours.by_address) as server:
        refused(kind, server.address, None)
    with RawServer() as server:
        refused(kind, server.address, Tls(ours.root))
        assert not server.requests


@kinds
def test_mutual(kind, ours, theirs):
    with secure(ours.by_address, client_root=ours.root) as server:
        with kind(server.address, tls=Tls(ours.root, *ours.client)) as client:
            assert client.predict(INPUTS).version == 7
        refused(kind, server.address, Tls(ours.root))
        refused(kind, server.address, Tls(ours.root, *theirs.client))
        assert len(server.requests) == 1


@kinds
def test_from_files(kind, ours, tmp_path):
    key, chain = ours.client
    files = {"root": ours.root, "key": key, "chain": chain}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    tls = Tls.from_files(tmp_path / "root", str(tmp_path / "key"), tmp_path / "chain", target_name="ranker.test")
    assert tls == Tls(ours.root, key, chain, "ranker.test")
    with secure(ours.by_name, client_root=ours.root) as server, kind(server.address, tls=tls) as client:
        assert client.predict(INPUTS).version == 7


def test_the_key_is_not_printed(ours):
    assert "PRIVATE KEY" not in repr(Tls(ours.root, *ours.client))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"root_certificates": "ca.pem"}, "root_certificates must be PEM bytes"),
        ({"root_certificates": b"ca.pem"}, "root_certificates must be PEM bytes"),
        ({"private_key": b"-----BEGIN PRIVATE KEY-----"}, "go together"),
        ({"certificate_chain": b"-----BEGIN CERTIFICATE-----"}, "go together"),
    ],
)
def test_settings_that_make_no_sense(wrong, message):
    with pytest.raises(ValueError, match=message):
        Tls(**wrong)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(OSError, match=r"ca\.pem"):
        Tls.from_files(tmp_path / "ca.pem")
