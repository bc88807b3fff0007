"""Fingerprints of code: any edit changes them, nothing else does."""

from pathlib import Path

import pytest

from pipelines import fingerprint, stage_inputs


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(fingerprint, "_ROOT", tmp_path)
    (tmp_path / "package" / "inner").mkdir(parents=True)
    (tmp_path / "package" / "a.py").write_text("a = 1\n")
    (tmp_path / "package" / "inner" / "b.py").write_text("b = 2\n")
    (tmp_path / "other.py").write_text("c = 3\n")
    return tmp_path


def test_is_stable_and_hexadecimal(tree: Path) -> None:
    first = fingerprint.code_fingerprint("package")
    assert first == fingerprint.code_fingerprint("package")
    assert len(bytes.fromhex(first)) == 8


def test_an_edit_a_new_file_and_a_moved_line_each_change_it(tree: Path) -> None:
    seen = {fingerprint.code_fingerprint("package")}
    (tree / "package" / "inner" / "b.py").write_text("b = 3\n")
    seen.add(fingerprint.code_fingerprint("package"))
    (tree / "package" / "c.py").write_text("")
    seen.add(fingerprint.code_fingerprint("package"))
    (tree / "package" / "c.py").rename(tree / "package" / "d.py")
    seen.add(fingerprint.code_fingerprint("package"))
    assert len(seen) == 4


def test_code_elsewhere_and_other_files_do_not(tree: Path) -> None:
    first = fingerprint.code_fingerprint("package")
    (tree / "other.py").write_text("c = 4\n")
    (tree / "package" / "notes.txt").write_text("x")
    assert fingerprint.code_fingerprint("package") == first
    assert fingerprint.code_fingerprint("package", "other.py") != first


def test_a_path_that_is_gone_is_an_error(tree: Path) -> None:
    with pytest.raises(FileNotFoundError, match="renamed"):
        fingerprint.code_fingerprint("renamed")


def test_every_path_that_the_pipeline_names_exists() -> None:
    groups = {name: value for name, value in vars(stage_inputs).items() if name.endswith("_CODE")}
    assert len(groups) == 8
    for group in groups.values():
        assert fingerprint.code_fingerprint(*group)
