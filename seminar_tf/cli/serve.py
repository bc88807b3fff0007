"""`seminar-tf serve`: the embedded server of TF Serving's gRPC API."""

from __future__ import annotations

import gc
import logging
import os
from typing import Any

import click

from seminar_tf.cli.console import quiet_native_logs
from seminar_tf.memory import keep_freed_memory

_FILE = click.Path(dir_okay=False)


@click.command("serve")
@click.option("--model-dir", type=click.Path(file_okay=False), help="Folder of numbered versions of one model.")
@click.option("--model-name", default="ranker", show_default=True, help="Name that requests use for it.")
@click.option("--keep-versions", default=1, show_default=True, type=click.IntRange(1), help="Versions kept loaded.")
@click.option("--model-config", type=_FILE, help="models.config of TF Serving, instead of --model-dir.")
@click.option(
    "--allow-version-labels-for-unavailable-models", "allow_labels", is_flag=True, help="As at TF Serving; see docs."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8500, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free port.")
@click.option("--ssl-config", type=_FILE, help="ssl.config of TF Serving: keys and certificates.")
@click.option("--poll", "poll_s", default=1.0, show_default=True, help="Seconds between looks for new versions.")
@click.option("--max-candidates", default=20_000, show_default=True, help="N above which a request is refused.")
@click.option(
    "--max-message-mib", default=64, show_default=True, help="Largest request, in MiB.", type=click.IntRange(1)
)
@click.option("--max-queued", default=100, show_default=True, help="Calls that may wait.", type=click.IntRange(0))
@click.option(
    "--lame-duck", "lame_duck_s", default=0.0, show_default=True, help="Seconds of NOT_SERVING before the end."
)
@click.option(
    "--drain", "drain_s", default=10.0, show_default=True, help="Seconds that calls get to finish at the end."
)
@click.option("--monitoring-port", type=click.IntRange(0, 65535), help="Port of the Prometheus metrics; off without.")
@click.option("--monitoring-host", default="127.0.0.1", show_default=True, help="Address of the metrics.")
@click.option("--monitoring-config-file", type=_FILE, help="monitoring.config of TF Serving: whether, and the path.")
@click.option("--log-format", default="text", show_default=True, type=click.Choice(["text", "json"]))
@click.option("--access-log", is_flag=True, help="Log a line for each call, never what it holds.")
@click.option("-v", "--verbose", is_flag=True, help="Log loads, reloads and warm-ups.")
def command(
    model_dir: str | None,
    model_name: str,
    keep_versions: int,
    model_config: str | None,
    allow_labels: bool,
    ssl_config: str | None,
    max_candidates: int,
    max_message_mib: int,
    monitoring_port: int | None,
    monitoring_config_file: str | None,
    log_format: str,
    verbose: bool,
    access_log: bool,
    **settings: Any,
) -> None:
    """Serve pushed models over gRPC until SIGTERM or Ctrl-C; new versions are taken up as they appear."""
    if (model_dir is None) == (model_config is None):
        raise click.UsageError("give one of --model-dir and --model-config.")
    if monitoring_config_file is not None and monitoring_port is None:
        raise click.UsageError("--monitoring-config-file says where on a port the metrics are: give --monitoring-port.")
    # Before any thread takes a heap of its own. Sessions come and go with their threads, and what a dropped version
    # leaves in their heaps is in pieces that the next one does not fit in. Measured with one heap on two cores; more
    # cores would wait for it, so it is one for every two.
    keep_freed_memory(arenas=max(1, (os.cpu_count() or 1) // 2))
    quiet_native_logs()
    # Its loader of v1 sessions, which TensorFlow Serving uses as well, announces that it is deprecated.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        from serving import logs, monitoring, tls
        from serving import model_config as models
        from serving.config_files import ConfigError
        from serving.options import DEFAULT_COLUMNS, METRICS_PATH, ModelSource, ServerOptions
        from serving.server import Server, ServerError
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"the server needs a package that is missing ({error.name}). Install seminar-tf[serving]."
        ) from error
    logs.set_up(log_format, verbose, access_log)
    try:
        if model_dir is not None:
            sources: tuple[ModelSource, ...] = (ModelSource(model_name, model_dir, keep_versions),)
        else:
            assert model_config is not None
            sources = models.read_model_config(model_config)
            models.check_labels_at_start(model_config, sources, allow_labels)
        path: str | None = METRICS_PATH
        if monitoring_config_file is not None:
            path = monitoring.read_monitoring_config(monitoring_config_file)
        options = ServerOptions(
            **settings,
            tls=None if ssl_config is None else tls.read_ssl_config(ssl_config),
            max_columns={**DEFAULT_COLUMNS, "candidate_item_id": max_candidates},
            max_message_bytes=max_message_mib << 20,
            monitoring_port=None if path is None else monitoring_port,
            monitoring_path=path or METRICS_PATH,
            allow_labels_of_unavailable_models=allow_labels,
            access_log=access_log,
        )
        server = Server(sources, options)
        # What was imported stays: it is left out of the collection that follows each dropped version, during which no
        # call is answered.
        gc.collect()
        gc.freeze()
        server.start()
    except (ConfigError, ServerError) as error:
        raise click.ClickException(str(error)) from error
    names = ", ".join(source.name for source in sources)
    up = {name for name, _ in server.models.loaded()}
    missing = ", ".join(source.name for source in sources if source.name not in up)
    if missing:
        click.echo(f"listening on {server.address}, {missing} not yet served")
    else:
        click.echo(f"{names} {'is' if len(sources) == 1 else 'are'} served on {server.address}")
    if server.monitoring_url is not None:
        click.echo(f"metrics are on {server.monitoring_url}")
    if missing:
        folders = ", ".join(source.base_path for source in sources)
        click.echo(
            f"no usable version of every model yet, under {folders}; looking every {options.poll_s:g} s", err=True
        )
    server.wait_for_signal()
    server.stop()


if __name__ == "__main__":
    command()
