"""One random moment; twenty of each command are a matter of half an hour, see the benchmark."""

from benchmarks import kill_nine


def test_what_was_killed_ends_with_the_same_result(capfd):
    assert kill_nine.main(["--times", "1", "--only", "prepare"]) == 0, capfd.readouterr().out
    assert "prepare: 1 of 1" in capfd.readouterr().out
