"""Two function components for the tests of the runner; TFX imports them by path."""

from pathlib import Path

from tfx import v1 as tfx


@tfx.dsl.components.component
def Numbers(
    examples: tfx.dsl.components.OutputArtifact[tfx.types.standard_artifacts.Examples],
    count: tfx.dsl.components.Parameter[int],
) -> None:
    """Writes `count` lines."""
    Path(examples.uri).mkdir(parents=True, exist_ok=True)
    (Path(examples.uri) / "numbers.txt").write_text("\n".join(map(str, range(count))))
    examples.set_int_custom_property("rows_train", count)


@tfx.dsl.components.component
def Picky(
    examples: tfx.dsl.components.InputArtifact[tfx.types.standard_artifacts.Examples],
    most: tfx.dsl.components.Parameter[int],
) -> None:
    """Fails when there are more than `most` lines."""
    found = len((Path(examples.uri) / "numbers.txt").read_text().splitlines())
    if found > most:
        raise ValueError(f"{found} lines are more than {most}")
