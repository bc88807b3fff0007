"""Numbered versions: what counts as one, and that nothing half-copied ever does."""

from __future__ import annotations

import shutil

import pytest

from seminar_tf.export import versions


def saved_model(folder):
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables").mkdir()
    (folder / "variables" / "v").write_bytes(b"weights")
    return folder


def test_only_plain_numbers_are_versions(tmp_path):
    for name in ("3", "20", "notes", ".staged-21-99", "21.part", "007", "-1", "٣", str(1 << 63)):
        (tmp_path / name).mkdir()
    (tmp_path / "99").write_text("a file, not a folder")
    assert versions.list_versions(tmp_path) == (3, 20)
    assert versions.latest(tmp_path) == tmp_path / "20"


def test_no_version(tmp_path):
    assert versions.list_versions(tmp_path / "missing") == ()
    with pytest.raises(versions.VersionError, match="no model version found"):
        versions.latest(tmp_path)


def test_next_version_is_above_all_others(tmp_path):
    assert versions.next_version(tmp_path, now_s=100.9) == 100
    (tmp_path / "500").mkdir()
    assert versions.next_version(tmp_path, now_s=100.0) == 501


def test_publish_copies_whole_and_leaves_nothing_beside(tmp_path):
    source, base = saved_model(tmp_path / "source"), tmp_path / "base"
    target = versions.publish(source, base, 7)
    assert target == base / "7"
    assert (target / "variables" / "v").read_bytes() == b"weights"
    assert [child.name for child in base.iterdir()] == ["7"]
    with pytest.raises(versions.VersionError, match="exists already"):
        versions.publish(source, base, 7)


def test_a_copy_that_breaks_off_publishes_nothing(tmp_path, monkeypatch):
    source, base = saved_model(tmp_path / "source"), tmp_path / "base"

    def broken(source, target):
        target.mkdir()
        (target / "saved_model.pb").write_bytes(b"gr")
        assert versions.list_versions(base) == ()
        raise OSError("disk full")

    monkeypatch.setattr(shutil, "copytree", broken)
    with pytest.raises(OSError, match="disk full"):
        versions.publish(source, base, 1)
    assert list(base.iterdir()) == []


def test_publish_wants_a_saved_model(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(versions.VersionError, match="not a SavedModel"):
        versions.publish(tmp_path / "empty", tmp_path / "base")
