"""The request of docs/serving.md runs as it is printed, and its tables name the real inputs."""

from __future__ import annotations

import re
from pathlib import Path

from seminar_tf.export import inputs

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")


def test_the_example_runs(server, capsys):
    code = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL).group(1)
    assert "127.0.0.1:8500" in code
    exec(compile(code.replace("127.0.0.1:8500", server.address), "docs/serving.md", "exec"), {})
    assert re.match(r"\[[\d. e-]+\] 5 ", capsys.readouterr().out)


def test_the_table_lists_the_inputs():
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \| (\S+) \| \[(.*?)\] \|", PAGE, re.MULTILINE)
    kinds = {"string": "object", "int32": "int32", "int64": "int64"}
    for column, spec in ((1, inputs.RAW), (2, inputs.INDEXED)):
        found = {row[0]: (kinds[row[column]], row[3].split(", ")) for row in rows if row[column] != "-"}
        assert found == {n: (given.dtype.__name__.rstrip("_"), list(given.shape)) for n, given in spec.items()}
