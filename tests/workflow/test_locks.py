"""Locks end with the process that holds them, and only a dead Snakemake's lock is removed."""

import socket

import pytest

from workflow import locks


@pytest.fixture
def left(tmp_path):
    """The folder of a Snakemake that was killed on this host."""
    locks.forget_dead_snakemake(tmp_path).close()  # it came, and is gone
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "0.output.lock").touch()
    return tmp_path


def test_the_lock_of_a_dead_snakemake_is_removed(left, capsys):
    held = locks.forget_dead_snakemake(left)
    assert not (left / "locks").exists()
    assert "left its lock, which is removed" in capsys.readouterr().err
    held.close()


def test_the_lock_of_a_living_one_stays(tmp_path):
    first = locks.forget_dead_snakemake(tmp_path)
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "0.output.lock").touch()
    for _ in range(2):  # nor does one that came and went let the next remove it
        locks.forget_dead_snakemake(tmp_path).close()
        assert (tmp_path / "locks" / "0.output.lock").exists()
    first.close()
    locks.forget_dead_snakemake(tmp_path).close()
    assert not (tmp_path / "locks").exists()


def test_the_second_counts_as_alive_when_the_first_has_gone(left):
    first, second = (locks.forget_dead_snakemake(left) for _ in range(2))
    first.close()
    (left / "locks").mkdir()
    (left / "locks" / "0.output.lock").touch()  # the second's
    locks.forget_dead_snakemake(left).close()
    assert (left / "locks" / "0.output.lock").exists()
    second.close()


def test_the_lock_of_another_host_stays(left, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(socket, "gethostname", lambda: "elsewhere")
        for _ in range(2):  # and the visitor does not take it over
            locks.forget_dead_snakemake(left).close()
            assert (left / "locks").exists()
    locks.forget_dead_snakemake(left).close()
    assert not (left / "locks").exists()


def test_a_file_system_without_locks(left, monkeypatch):
    def refuse(*_):
        raise OSError("Function not implemented")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    assert locks.forget_dead_snakemake(left) is None
    assert (left / "locks").exists()
