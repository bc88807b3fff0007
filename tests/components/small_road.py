"""The road in function components that write nothing, for tests of what is found in ML Metadata; TFX imports them."""

from pathlib import Path

from tfx import v1 as tfx

from components.drift.artifacts import SpanStatistics

_Out, _In, _Parameter = (
    tfx.dsl.components.OutputArtifact,
    tfx.dsl.components.InputArtifact,
    tfx.dsl.components.Parameter,
)
_kinds = tfx.types.standard_artifacts
component = tfx.dsl.components.component


@component
def Ingest(examples: _Out[_kinds.Examples], statistics: _Out[SpanStatistics], span: _Parameter[int]) -> None:
    """Examples of a span, and its statistics."""
    for artifact in (examples, statistics):
        Path(artifact.uri).mkdir(parents=True, exist_ok=True)
        artifact.set_int_custom_property("span", span)


@component
def Change(examples: _In[_kinds.Examples], changed: _Out[_kinds.Examples]) -> None:
    """Transform."""


@component
def Pretrain(examples: _In[_kinds.Examples], model: _Out[_kinds.Model]) -> None:
    """The PSU's Trainer."""


@component
def Train(examples: _In[_kinds.Examples], base_model: _In[_kinds.Model], model: _Out[_kinds.Model]) -> None:
    """SEMINAR's Trainer."""


@component
def Serve(model: _In[_kinds.Model], served: _Out[_kinds.Model]) -> None:
    """The Quantizer."""


@component
def Bless(model: _In[_kinds.Model], blessing: _Out[_kinds.ModelBlessing], good: _Parameter[int]) -> None:
    """The Evaluator."""
    blessing.set_int_custom_property("blessed", good)
    blessing.set_int_custom_property("current_model_id", model.id)
