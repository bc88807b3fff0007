"""Every flag in our files is a flag of tensorflow_model_server, is explained, and gets a value that makes sense."""

from __future__ import annotations

import pytest

from tests.serving.deploy_files import COMPONENTS, DEPLOY, OVERLAYS, compose, containers, flags, one, overlay, table

# The flags in main.cc of the server, 2.16 to 2.21. An unknown one stops the server at once.
KNOWN = {
    "allow_version_labels_for_unavailable_models",
    "batching_parameters_file",
    "enable_batching",
    "enable_grpc_healthcheck_service",
    "enable_model_warmup",
    "enable_per_model_batching_parameters",
    "enable_profiler",
    "enable_serialization_as_tensor_content",
    "enable_signature_method_name_check",
    "file_system_poll_wait_seconds",
    "flush_filesystem_caches",
    "grpc_channel_arguments",
    "grpc_max_threads",
    "grpc_socket_path",
    "load_retry_interval_micros",
    "max_num_load_retries",
    "mixed_precision",
    "model_base_path",
    "model_config_file",
    "model_config_file_poll_wait_seconds",
    "model_name",
    "monitoring_config_file",
    "num_load_threads",
    "num_request_iterations_for_warmup",
    "num_unload_threads",
    "per_process_gpu_memory_fraction",
    "platform_config_file",
    "port",
    "remove_unused_fields_from_bundle_metagraph",
    "rest_api_enable_cors_support",
    "rest_api_num_threads",
    "rest_api_port",
    "rest_api_timeout_in_ms",
    "saved_model_tags",
    "ssl_config_file",
    "tensorflow_inter_op_parallelism",
    "tensorflow_intra_op_parallelism",
    "tensorflow_session_config_file",
    "tensorflow_session_parallelism",
    "thread_pool_factory_config_file",
    "use_alts_credentials",
    "version",
    "xla_cpu_compilation_enabled",
    "xla_gpu_compilation_enabled",
}
BOOLEANS = {
    "allow_version_labels_for_unavailable_models",
    "enable_batching",
    "enable_grpc_healthcheck_service",
    "xla_cpu_compilation_enabled",
    "xla_gpu_compilation_enabled",
}


def compose_flags(*names):
    service = compose(*names)["services"]["tf-serving"]
    program, *rest = service["entrypoint"] + service["command"]
    assert program == "tensorflow_model_server"
    return flags(rest)


def kubernetes_flags(name, components=()):
    (container,) = containers(one(overlay(name, components), "Deployment", "tf-serving"))
    assert container["command"] == ["tensorflow_model_server"]
    return flags(container["args"])


COMMANDS = {
    "compose": lambda: compose_flags("compose.yaml"),
    "compose gpu": lambda: compose_flags("compose.yaml", "compose.gpu.yaml"),
    "compose batching": lambda: compose_flags("compose.yaml", "compose.gpu.yaml", "compose.batching.yaml"),
    **{f"kubernetes {name}": lambda name=name: kubernetes_flags(name) for name in OVERLAYS},
    "kubernetes, all": lambda: kubernetes_flags("gpu", COMPONENTS),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_flags_are_real_and_explained(command):
    found = command()
    assert set(found) <= KNOWN, set(found) - KNOWN
    assert set(found) <= {row[0].strip("`").removeprefix("--") for row in table("### Flags")}
    for name, value in found.items():
        if name in BOOLEANS:
            assert value in ("true", "false"), (name, value)
        elif name.endswith("_file"):
            folder, _, file = value.rpartition("/")
            assert folder == "/ssl" or (folder == "/config" and (DEPLOY / "config" / file).is_file()), (name, value)
        elif name == "grpc_channel_arguments":
            assert all(part.partition("=")[2].isdecimal() for part in value.split(","))
        else:
            assert value.isdecimal(), (name, value)
    # The metrics are on the REST port, the port of the probes is gRPC's.
    assert (found["port"], found["rest_api_port"]) == ("8500", "8501")
    assert found["enable_grpc_healthcheck_service"] == "true" and "monitoring_config_file" in found
    # One of them alone is an error of the server at its start.
    assert ("batching_parameters_file" in found) == ("enable_batching" in found)
    assert "tensorflow_session_parallelism" not in found, "excludes the flags of intra- and inter-op threads"


def test_all_places_start_the_same_server():
    plain = kubernetes_flags("cpu")
    # In a cluster addresses come and go, on one host they do not.
    assert plain.pop("grpc_channel_arguments")
    assert plain == compose_flags("compose.yaml") == compose_flags("compose.yaml", "compose.gpu.yaml")


def test_the_page_explains_no_invented_flag():
    explained = [row[0].strip("`").removeprefix("--") for row in table("### Flags")]
    assert len(explained) == len(set(explained)) and set(explained) <= KNOWN
