"""Where a run comes from: versions, commit, and whether anything was changed since."""

import subprocess

import pytest

from deephash.training.provenance import git_facts, versions


def git(folder, *words):
    own = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", *own, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    git(tmp_path, "init")
    (tmp_path / "mymethod.py").write_text("one")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "one")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_repository_of_ones_own_method_is_named_with_what_was_changed(repository):
    clean = git_facts()["working_folder"]
    (repository / "mymethod.py").write_text("two")
    changed = git_facts()["working_folder"]
    assert (clean["git_dirty"], changed["git_dirty"]) == (False, True)
    assert clean["git_commit"] == changed["git_commit"]
    assert len(clean["git_commit"]) == 40


def test_a_folder_of_no_repository_is_not_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "working_folder" not in git_facts()


def test_versions_are_those_of_every_requirement_that_is_there():
    found = versions()
    assert {"python", "numpy", "torch", "lightning", "faiss-cpu", "scikit-learn"} <= found.keys()
    assert "deephash" not in found
    assert all(found.values())
