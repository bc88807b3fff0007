"""The text protos of serving/deploy/config, and ssl.config made of real PEM files that gRPC then serves with."""

from __future__ import annotations

import stat
from concurrent import futures

import grpc
import pytest
import trustme
from click.testing import CliRunner
from google.protobuf import text_format
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.config import model_server_config_pb2

from serving.config_files import BatchingParameters, ConfigError, MonitoringConfig, SSLConfig, read
from serving.deploy import ssl_config
from tests.serving.deploy_files import DEPLOY, PAGE

CONFIG = DEPLOY / "config"


def models():
    return read(CONFIG / "models.config", model_server_config_pb2.ModelServerConfig())


def test_models_config():
    (model,) = models().model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == ("ranker", "/models/ranker", "tensorflow")
    assert model.model_version_policy.latest.num_versions == 2, "a canary needs a second version"
    # Versions are a site's own, so the file cannot name one; the page shows how.
    assert not model.version_labels


def test_the_labels_that_the_page_shows_parse_in_their_place():
    lines = [
        line.split("#", 1)[1]
        for line in (CONFIG / "models.config").read_text().splitlines()
        if "version_labels {" in line
    ]
    assert len(lines) == 2
    config = model_server_config_pb2.ModelConfig()
    text_format.Parse("\n".join(lines), config)
    assert set(config.version_labels) == {"stable", "canary"}
    assert config.version_labels["stable"] != config.version_labels["canary"]
    for label in config.version_labels:
        assert f"`{label}`" in PAGE


def test_batching_config():
    batching = read(CONFIG / "batching.config", BatchingParameters())
    sizes = list(batching.allowed_batch_sizes)
    assert sizes == sorted(set(sizes)) and sizes[0] == 1
    assert sizes[-1] == batching.max_batch_size.value
    assert batching.num_batch_threads.value >= 1 and batching.max_enqueued_batches.value >= 1
    assert 0 < batching.batch_timeout_micros.value <= 10_000, "a request waits at most this long, in microseconds"
    # Padding by the server changes scores; see test_deploy_server.
    assert not batching.pad_variable_length_inputs


def test_monitoring_config():
    prometheus = read(CONFIG / "monitoring.config", MonitoringConfig()).prometheus_config
    assert prometheus.enable and prometheus.path == "/monitoring/prometheus/metrics"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_sise { value: 1 }", "max_batch_sise"),
        ("max_batch_size: 32", "1:"),
        ("allowed_batch_sizes: 'two'", "'two'"),
        ("num_batch_threads { value: 2", "1:"),
    ],
)
def test_a_wrong_file_is_refused_as_the_server_would(tmp_path, text, message):
    path = tmp_path / "batching.config"
    path.write_text(text)
    with pytest.raises(ConfigError, match="BatchingParameters") as caught:
        read(path, BatchingParameters())
    assert message in str(caught.value) and str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.config"):
        read(tmp_path / "none.config", MonitoringConfig())


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    """Paths of PEM files: key, cert and ca of one authority, and a stranger's certificate."""
    folder = tmp_path_factory.mktemp("pem")
    authority = trustme.CA()
    server = authority.issue_cert("localhost", "127.0.0.1")
    blobs = {
        "key": server.private_key_pem.bytes(),
        "cert": b"".join(part.bytes() for part in server.cert_chain_pems),
        "ca": authority.cert_pem.bytes(),
    }
    for name, blob in blobs.items():
        (folder / name).write_bytes(blob)
    return {name: folder / name for name in blobs}, authority


def run(*arguments):
    return CliRunner().invoke(ssl_config.command, [str(argument) for argument in arguments])


@pytest.mark.parametrize("mutual", [False, True])
def test_a_server_with_this_ssl_config_takes_who_it_should(pem, tmp_path, mutual):
    paths, authority = pem
    out = tmp_path / "ssl.config"
    result = run(
        "--key", paths["key"], "--cert", paths["cert"], *(("--ca", paths["ca"]) if mutual else ()), "--out", out
    )
    assert result.exit_code == 0, result.output
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    config = read(out, SSLConfig())
    assert config.client_verify == mutual and config.server_key == paths["key"].read_text()

    # What tensorflow_model_server does with the file, in Python.
    credentials = grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        config.custom_ca.encode() or None,
        config.client_verify,
    )
    server = grpc.server(futures.ThreadPoolExecutor(2), options=(("grpc.so_reuseport", 0),))
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    identity = authority.issue_cert("client")
    mine = (identity.private_key_pem.bytes(), b"".join(part.bytes() for part in identity.cert_chain_pems))
    try:
        assert ask(port, paths["ca"].read_bytes(), mine) == grpc.StatusCode.OK
        expected = grpc.StatusCode.UNAVAILABLE if mutual else grpc.StatusCode.OK
        assert ask(port, paths["ca"].read_bytes(), (None, None)) == expected
        stranger = trustme.CA()
        assert ask(port, stranger.cert_pem.bytes(), mine) == grpc.StatusCode.UNAVAILABLE
    finally:
        server.stop(0).wait()


def ask(port, root, identity):
    """Status of one health call."""
    with grpc.secure_channel(f"127.0.0.1:{port}", grpc.ssl_channel_credentials(root, *identity)) as channel:
        try:
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def test_wrong_files_are_told_apart(pem, tmp_path):
    paths, _ = pem
    encrypted, two, der = tmp_path / "encrypted", tmp_path / "two", tmp_path / "der"
    encrypted.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
    two.write_text(paths["key"].read_text() * 2)
    der.write_bytes(b"0\x82\x01\xff")
    cases = [
        (("--key", paths["cert"], "--cert", paths["cert"]), "holds CERTIFICATE; expected PRIVATE KEY"),
        (("--key", paths["key"], "--cert", paths["key"]), "expected CERTIFICATE"),
        (("--key", encrypted, "--cert", paths["cert"]), "decrypt the key first"),
        (("--key", two, "--cert", paths["cert"]), "holds 2 blocks; expected 1"),
        (("--key", der, "--cert", paths["cert"]), "cannot be read as PEM"),
        (("--key", tmp_path / "none", "--cert", paths["cert"]), "cannot be read as PEM"),
        (("--key", paths["key"], "--cert", paths["cert"], "--require-client"), "give --ca as well"),
    ]
    for arguments, message in cases:
        out = tmp_path / "out.config"
        result = run(*arguments, "--out", out)
        assert result.exit_code == 1 and message in result.output, (arguments, result.output)
        assert not out.exists()


def test_a_key_is_not_overwritten(pem, tmp_path):
    paths, _ = pem
    out = tmp_path / "ssl.config"
    out.write_text("mine")
    result = run("--key", paths["key"], "--cert", paths["cert"], "--out", out)
    assert result.exit_code == 1 and "is there already" in result.output
    assert out.read_text() == "mine"
