import sys

from reidlab.processes import progress_style
from reidlab.training.progress import Progress


def test_style(monkeypatch):
    monkeypatch.delenv("REIDLAB_PROGRESS", raising=False)
    monkeypatch.setitem(sys.modules, "ipykernel", None)
    monkeypatch.delitem(sys.modules, "ipykernel")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    assert progress_style() == "plain"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert progress_style() == "bar"
    monkeypatch.setenv("REIDLAB_PROGRESS", "none")
    assert progress_style() == "none"


def test_plain_lines(monkeypatch, capsys):
    monkeypatch.setenv("REIDLAB_PROGRESS", "plain")
    progress = Progress()
    assert list(progress.steps([1, 2], 2, "epoch 1")) == [1, 2]
    progress.note("loss 1")
    progress.line("epoch 1/1")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("epoch 1/1\n", "")


def test_bar(monkeypatch, capsys):
    monkeypatch.setenv("REIDLAB_PROGRESS", "bar")
    progress = Progress()
    for _ in progress.steps([1, 2], 2, "epoch 1"):
        progress.note("loss 1")
    assert "epoch 1" in capsys.readouterr().err
