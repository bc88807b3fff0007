"""TFX's Pusher with an executor that stages and renames."""

from __future__ import annotations

from tfx.components import Pusher as TfxPusher
from tfx.dsl.components.base import executor_spec

from components.pusher.executor import Executor


class Pusher(TfxPusher):
    """Pushes a blessed model to `<base directory>/<version>`; the arguments are those of TFX's Pusher.

    Only a file system's `base_directory` is supported as destination. The version is the time in seconds since 1970,
    or one more than the newest version where that is higher.
    """

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
