"""TLS of the server and of its clients, with certificates made here."""

from __future__ import annotations

import logging

import grpc
import pytest
import trustme
from google.protobuf import text_format

from serving import config_files, protos, tls
from serving.config_files import ConfigError
from serving.options import ModelSource, ServerOptions, Tls
from serving.server import Server, ServerError

from tensorflow_serving.apis import get_model_status_pb2  # isort: skip

Code = grpc.StatusCode


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def issued(authority):
    return authority.issue_cert("localhost", "127.0.0.1")


def pem(blob) -> str:
    return blob.bytes().decode()


def ssl_config(folder, issued, authority=None, verify=False):
    config = config_files.SSLConfig(
        server_key=pem(issued.private_key_pem),
        server_cert="".join(pem(blob) for blob in issued.cert_chain_pems),
        custom_ca=pem(authority.cert_pem) if authority else "",
        client_verify=verify,
    )
    path = folder / "ssl.config"
    path.write_text(text_format.MessageToString(config), encoding="utf-8")
    return path


def serve(settings, tmp_path, **options):
    """A server without any model: what matters here is who gets through to it."""
    source = ModelSource("ranker", str(tmp_path / "models"))
    return Server((source,), ServerOptions(port=0, tls=settings, poll_s=3600.0, **options))


def status(channel) -> grpc.StatusCode:
    """What GetModelStatus of an unknown model gives: NOT_FOUND when the server was reached."""
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "who"
    with channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(protos.GET_MODEL_STATUS)(request.SerializeToString(), timeout=60)
    return caught.value.code()


def secure(server, authority, client=None):
    credentials = grpc.ssl_channel_credentials(
        authority.cert_pem.bytes(),
        client.private_key_pem.bytes() if client else None,
        b"".join(blob.bytes() for blob in client.cert_chain_pems) if client else None,
    )
    return grpc.secure_channel(server.address, credentials)


def test_server_tls(authority, issued, tmp_path):
    with serve(tls.read_ssl_config(ssl_config(tmp_path, issued)), tmp_path) as server:
        assert status(secure(server, authority)) == Code.NOT_FOUND
        assert status(grpc.insecure_channel(server.address)) == Code.UNAVAILABLE
        assert status(secure(server, trustme.CA())) == Code.UNAVAILABLE


def test_mutual_tls(authority, issued, tmp_path):
    settings = tls.read_ssl_config(ssl_config(tmp_path, issued, authority, verify=True))
    with serve(settings, tmp_path) as server:
        assert status(secure(server, authority, authority.issue_cert("client@example.org"))) == Code.NOT_FOUND
        assert status(secure(server, authority)) == Code.UNAVAILABLE
        stranger = trustme.CA().issue_cert("client@example.org")
        assert status(secure(server, authority, stranger)) == Code.UNAVAILABLE
        assert status(grpc.insecure_channel(server.address)) == Code.UNAVAILABLE


def test_a_key_of_another_certificate(authority, issued, tmp_path):
    other = authority.issue_cert("localhost")
    settings = Tls(pem(other.private_key_pem), pem(issued.cert_chain_pems[0]))
    with pytest.raises(ServerError, match="Do server_key and server_cert belong together"):
        serve(settings, tmp_path).start()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"server_key": "/etc/key.pem"}, "server_key holds no PEM text with a PRIVATE KEY"),
        ({"server_cert": ""}, "server_cert holds no PEM text"),
        ({"client_verify": True}, "client_verify is true, but custom_ca is empty"),
        ({"custom_ca": "ca.pem"}, "custom_ca holds no PEM text with a CERTIFICATE"),
    ],
)
def test_ssl_configs_of_no_use(issued, tmp_path, change, message):
    path = ssl_config(tmp_path, issued)
    config = config_files.read(path, config_files.SSLConfig())
    for field, value in change.items():
        setattr(config, field, value)
    path.write_text(text_format.MessageToString(config), encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        tls.read_ssl_config(path)
    assert "ssl.config" in str(caught.value)
    assert "MII" not in str(caught.value), "no part of a key is repeated"


def test_a_misspelt_field_names_the_line_and_no_key(tmp_path):
    path = tmp_path / "ssl.config"
    path.write_text('server_key: "x"\nserver_sert: "y"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r'ssl\.config:2:\d+ : .*"server_sert"'):
        tls.read_ssl_config(path)


def test_the_key_is_not_shown(issued, tmp_path):
    settings = tls.read_ssl_config(ssl_config(tmp_path, issued))
    assert "PRIVATE" not in repr(ServerOptions(tls=settings))


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.3.2.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)]
    + [("10.0.0.1", False), ("example.org", False)],
)
def test_what_is_loopback(host, loopback):
    assert tls.is_loopback(host) == loopback


def test_other_machines_in_the_clear_are_warned_of(issued, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    with serve(None, tmp_path, host="0.0.0.0"):
        assert "nothing is encrypted" in caplog.text
    caplog.clear()
    with serve(None, tmp_path), serve(tls.read_ssl_config(ssl_config(tmp_path, issued)), tmp_path, host="0.0.0.0"):
        assert "nothing is encrypted" not in caplog.text
