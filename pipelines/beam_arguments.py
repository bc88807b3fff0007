"""What Beam is told beside the user's own arguments.

TFX packs its sources (4 s and 52 MB of temporary files that nobody removes) for every Beam component, unless an
argument says that the workers have TFX already. Workers in this process, or of its interpreter, do have it.
"""

from __future__ import annotations

from collections.abc import Sequence

from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions, StandardOptions, WorkerOptions

# Beam runs both in this process, or in processes of the same interpreter.
LOCAL_RUNNERS = ("FnApiRunner", "DirectRunner", "BundleBasedDirectRunner")
# TFX takes any image as a worker that has its packages; local runners have no use for an image and never look at it.
THIS_PROCESS = "--sdk_container_image=this-process"


def beam_arguments(given: Sequence[str]) -> list[str]:
    """The pipeline's Beam arguments: those given, and for local runners that nothing needs to be shipped.

    Args:
      given: `beam_args` of the configuration.

    Returns:
      Arguments for TFX's `beam_pipeline_args`. What the user says of packages or images stands.
    """
    options = PipelineOptions(list(given))
    setup = options.view_as(SetupOptions)
    shipped = (
        setup.extra_packages,
        setup.setup_file,
        setup.requirements_file,
        options.view_as(WorkerOptions).sdk_container_image,
    )
    return [*given] if runner_name(given) not in LOCAL_RUNNERS or any(shipped) else [*given, THIS_PROCESS]


def runner_name(given: Sequence[str]) -> str:
    """Name of the runner that Beam arguments ask for, without its module; Beam's own default is a local one."""
    return (PipelineOptions(list(given)).view_as(StandardOptions).runner or "DirectRunner").rpartition(".")[2]
