"""BehaviorExampleGen: behaviour logs in, one time-ordered sequence a user, catalog and queries out."""

from __future__ import annotations

import dataclasses

from tfx.components.example_gen.component import FileBasedExampleGen
from tfx.dsl.components.base import executor_spec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.proto import example_gen_pb2, range_config_pb2

from components.behavior_example_gen.executor import Executor
from components.behavior_example_gen.packing import pack
from components.behavior_example_gen.settings import IngestSettings, files_fingerprint
from seminar_tf.config import DataConfig, FeatureConfig
from seminar_tf.data.dataset import DatasetError, DatasetSpec, uses_requests
from seminar_tf.features import names

# The driver fills in the span and fingerprints what this matches.
_PATTERN = "span-{SPAN}/*/*.parquet"


class BehaviorExampleGen(FileBasedExampleGen):
    """Reads a canonical dataset (docs/data.md) and writes the splits train, eval, test, catalog and queries.

    The newest span, or the one asked for, is resolved by TFX's driver, which also fingerprints its files; spans before
    it give history. Outputs one `examples` artifact; rejected rows lie in its `rejected` folder, counts in its custom
    properties: `rows_<split>`, `targets_<split>`, `accepted_<table>`, `rejected_<reason>`, `rejected_total`, `items`,
    `pairs`, `users` and `users_without_events`.
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        data: DataConfig,
        features: FeatureConfig,
        dataset: DatasetSpec,
        span: int | None = None,
        now_ms: int = 0,
        code: str = "",
        state_dir: str = "",
        input_base: str | RuntimeParameter | None = None,
        span_range: RuntimeParameter | None = None,
    ) -> None:
        """Args:
          data: `data.path` is the dataset's folder.
          features: `image_size` is used here.
          dataset: `describe(data.path)`.
          span: the span to ingest up to; None takes the newest there is.
          now_ms: events after this moment are rejected as in the future; 0 is the moment of the run. A fixed value
            makes two runs comparable.
          code: fingerprint of the code that this component runs.
          state_dir: where checked rows are kept for the next span (`data.incremental`); "" keeps none.
          input_base: where the component finds `data.path`, if it is not there but in a container; None takes
            `data.path`.
          span_range: parameter of a run that holds a RangeConfig as JSON, or "" for the newest span; not with `span`.

        Raises:
          ValueError: both `span` and `span_range`.
          DatasetError: there is no such span, or `data.targets` asks for requests that the dataset lacks.
        """
        if span is not None and span_range is not None:
            raise ValueError("BehaviorExampleGen: span and span_range say the same thing; give one of them.")
        if span is not None and span not in dataset.spans:
            raise DatasetError(f"span {span} is not in {data.path}, which has {', '.join(map(str, dataset.spans))}.")
        # A path of the machine that compiles says nothing to a container, and would keep two machines' caches apart.
        settings = IngestSettings(
            data=data if input_base is None else dataclasses.replace(data, path=""),
            dataset=dataset,
            image_size=features.image_size,
            now_ms=now_ms,
            older_files=files_fingerprint(data.path, dataset.spans[-1] if span is None else span),
            code=code,
            state_dir=state_dir if data.incremental else "",
        )
        uses_requests(data, dataset)  # asked here so that the impossible fails before anything runs
        splits = [example_gen_pb2.SplitConfig.Split(name=name, hash_buckets=1) for name in names.SPLITS]
        chosen: range_config_pb2.RangeConfig | RuntimeParameter | None = span_range
        if span is not None:
            fixed = range_config_pb2.StaticRange(start_span_number=span, end_span_number=span)
            chosen = range_config_pb2.RangeConfig(static_range=fixed)
        super().__init__(
            input_base=data.path if input_base is None else input_base,
            input_config=example_gen_pb2.Input(splits=[example_gen_pb2.Input.Split(name="tables", pattern=_PATTERN)]),
            output_config=example_gen_pb2.Output(split_config=example_gen_pb2.SplitConfig(splits=splits)),
            custom_config=pack(settings),
            range_config=chosen,
        )
