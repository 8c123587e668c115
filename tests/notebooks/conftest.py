"""A project of their own for chapters that run in this process."""

from pathlib import Path

import pytest

from reidlab.files import project_root

ROOT = project_root(Path(__file__))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with data and runs of its own."""
    root = tmp_path_factory.mktemp("project")
    (root / "notebooks").mkdir()
    for name in ("_toc.yml", "book", "reidlab"):
        (root / name).symlink_to(ROOT / name)
    return root


@pytest.fixture
def inside(project, monkeypatch):
    """The process stands where a chapter does; page records lie in `pages` of the project."""
    monkeypatch.chdir(project / "notebooks")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("REIDLAB_PAGES", str(project / "pages"))
    monkeypatch.delenv("PWD", raising=False)
    return project
