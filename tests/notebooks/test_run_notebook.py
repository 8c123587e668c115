"""The guards around papermill: each fault it lets pass, planted in a tiny notebook."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from workflow import run_notebook as rn

PARAMETERS = (
    'profile: str = "laptop"  # size\ndata_root: str = "../data/x"  # folder\n'
    "seed: int = 0  # seed\nrate: float = 0.5  # rate\nflag: bool = False  # flag"
)


def write(path: Path, *sources: str, parameters: str | None = PARAMETERS) -> Path:
    """A notebook of code cells, the first one tagged."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    if parameters is not None:
        head = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
        cells.insert(0, head)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, path)
    return path


def outputs(path: Path) -> str:
    """All text a notebook printed."""
    cells = json.loads(path.read_text())["cells"]
    printed = [o for c in cells for o in c.get("outputs", []) if o["output_type"] == "stream"]
    return "".join("".join(output["text"]) for output in printed)


def test_a_whole_run(tmp_path, monkeypatch):
    monkeypatch.delenv("REIDLAB_PROGRESS", raising=False)
    source = write(
        tmp_path / "a.ipynb",
        "import os, sys\nprint(profile, seed, rate, flag)\nprint(os.getcwd())",
        "print(sys.executable, os.environ['REIDLAB_PROGRESS'], os.environ['PYTHONHASHSEED'])",
    )
    before = source.read_bytes()
    given = {"profile": "smoke", "seed": "3", "rate": "1", "flag": "true"}
    seconds = rn.run_notebook(source, tmp_path / "out" / "a.ipynb", given)
    text = outputs(tmp_path / "out" / "a.ipynb").splitlines()
    assert text == ["smoke 3 1.0 True", str(rn.KERNEL_CWD), f"{sys.executable} plain 0"]
    assert seconds > 0
    assert source.read_bytes() == before
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a.ipynb"]
    assert "REIDLAB_PROGRESS" not in os.environ


def test_a_misspelt_parameter_is_refused_and_the_valid_ones_are_named(tmp_path):
    source = write(tmp_path / "a.ipynb", "print(1)")
    with pytest.raises(rn.NotebookError, match=r"no parameter 'profil'.*profile='laptop'.*seed=0"):
        rn.run_notebook(source, tmp_path / "b.ipynb", {"profil": "smoke"})
    assert not (tmp_path / "b.ipynb").exists()


@pytest.mark.parametrize(
    ("name", "text"), [("seed", "one"), ("seed", "1.5"), ("rate", "fast"), ("flag", "1")]
)
def test_a_value_of_another_type_is_refused(tmp_path, name, text):
    source = write(tmp_path / "a.ipynb", "print(1)")
    with pytest.raises(rn.NotebookError, match=rf"parameter {name}: '{text}' is not of type"):
        rn.resolve(source, {name: text})


def test_folders_are_relative_to_the_caller(tmp_path, monkeypatch):
    source = write(tmp_path / "a.ipynb", "print(1)")
    monkeypatch.chdir(tmp_path)
    (value,) = rn.resolve(source, {"data_root": "here"}).values()
    assert (rn.KERNEL_CWD / value).resolve() == (tmp_path / "here").resolve()


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Install a kernel that starts the interpreter given, in front of all others."""

    def install(command) -> None:
        folder = tmp_path / "jupyter" / "kernels" / "python3"
        folder.mkdir(parents=True, exist_ok=True)
        argv = [str(command), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec = {"argv": argv, "display_name": "Python 3", "language": "python"}
        (folder / "kernel.json").write_text(json.dumps(spec))

    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.delenv("JUPYTER_PREFER_ENV_PATH", raising=False)
    return install


def test_a_kernel_of_this_environment_by_another_name(tmp_path, kernel, monkeypatch):
    """A home, a project or an environment that a link leads to."""
    bin_ = Path(sys.executable).parent
    (tmp_path / "bin").symlink_to(bin_)
    (tmp_path / "venv").symlink_to(bin_.parent)
    names = (tmp_path / "bin", tmp_path / "venv" / "bin", tmp_path / "bin" / ".." / "bin", bin_)
    for name in names:
        kernel(name / Path(sys.executable).name)
        rn.check_kernel()
    kernel("python")  # replaced by the running interpreter when it starts
    rn.check_kernel()
    kernel(sys.executable)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))  # and so may ours be spelt
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "bin" / "python3"))
    rn.check_kernel()


def test_a_kernel_of_another_environment(tmp_path, kernel):
    """It may well lead to the same interpreter: environments share it."""
    other = tmp_path / "other" / "bin" / "python"
    other.parent.mkdir(parents=True)
    kernel(other)
    with pytest.raises(rn.NotebookError, match=rf"starts {other}, not {sys.executable}"):
        rn.check_kernel()
    other.symlink_to(Path(sys.executable).resolve())
    with pytest.raises(rn.NotebookError, match=rf"starts {other}, not {sys.executable}"):
        rn.check_kernel()


def test_folders_below_a_link(tmp_path, monkeypatch):
    source = write(tmp_path / "a.ipynb", "print(1)")
    (tmp_path / "disk" / "data").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    for text in (str(tmp_path / "link" / "data"), str(tmp_path / "disk" / "data")):
        value = rn.resolve(source, {"data_root": text})["data_root"]
        assert (rn.KERNEL_CWD / value).samefile(tmp_path / "disk" / "data")


def test_the_inputs_of_a_page_are_the_same_below_a_link(tmp_path):
    (tmp_path / "link").symlink_to(rn.ROOT)
    assert [p.relative_to(tmp_path / "link") for p in rn.page_inputs(tmp_path / "link")] == [
        p.relative_to(rn.ROOT) for p in rn.page_inputs(rn.ROOT)
    ]


def test_no_parameters_cell_is_an_error(tmp_path):
    source = write(tmp_path / "a.ipynb", "print(1)", parameters=None)
    with pytest.raises(rn.NotebookError, match="no cell tagged 'parameters'"):
        rn.parameters_of(source)


def test_a_missing_notebook_is_named_with_its_neighbours(tmp_path):
    write(tmp_path / "there.ipynb", "print(1)")
    with pytest.raises(rn.NotebookError, match=r"no such notebook.*there\.ipynb"):
        rn.parameters_of(tmp_path / "gone.ipynb")


def test_a_raising_cell_leaves_no_output(tmp_path):
    source = write(tmp_path / "a.ipynb", "print('before')", "1 / 0", "print('after')")
    (tmp_path / "b.ipynb").write_text("an older result")
    with pytest.raises(rn.NotebookError, match="ZeroDivisionError"):
        rn.run_notebook(source, tmp_path / "b.ipynb")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.ipynb", "b.failed.ipynb"]
    assert "before" in outputs(tmp_path / "b.failed.ipynb")


def test_sys_exit_halfway_is_not_a_whole_run(tmp_path):
    source = write(tmp_path / "a.ipynb", "import sys", "sys.exit(0)", "print('never')")
    with pytest.raises(rn.NotebookError):
        rn.run_notebook(source, tmp_path / "b.ipynb")
    assert not (tmp_path / "b.ipynb").exists()


def test_a_cell_that_never_ran_is_found(tmp_path):
    source = write(tmp_path / "a.ipynb", "x = 1", "y = 2")
    notebook = json.loads(source.read_text())
    for count, cell in enumerate(notebook["cells"][:2], start=1):
        cell["execution_count"] = count
    source.write_text(json.dumps(notebook))
    with pytest.raises(rn.NotebookError, match=r"code cell 3 of 3 never ran.*'y = 2'"):
        rn.check_whole(source)


def test_a_terminated_run_leaves_neither_output_nor_kernel(tmp_path):
    pid_file = tmp_path / "pid"
    source = write(
        tmp_path / "a.ipynb",
        f"import os, time\nopen({str(pid_file)!r}, 'w').write(str(os.getpid()))\ntime.sleep(120)",
    )
    command = [sys.executable, rn.__file__, str(source), str(tmp_path / "b.ipynb")]
    runner = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: pid_file.exists() and pid_file.read_text(), 180)
    runner.send_signal(signal.SIGTERM)
    assert runner.wait(120) != 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.ipynb", "pid"]
    kernel = int(pid_file.read_text())
    wait_for(lambda: not alive(kernel), 120)


def wait_for(condition, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class TestInjectedCell:
    def executed(self, path: Path, passed: dict) -> Path:
        write(path, "profile = 'x'", "print(1)")
        notebook = json.loads(path.read_text())
        notebook["cells"][1]["metadata"]["tags"] = ["injected-parameters"]
        run = {"parameters": passed, "input_path": "/home/me/a.ipynb", "output_path": "/home/me/b"}
        notebook["metadata"]["papermill"] = run
        path.write_text(json.dumps(notebook))
        return path

    def test_goes_where_it_says_nothing_new(self, tmp_path):
        path = self.executed(tmp_path / "a.ipynb", {"profile": "laptop", "data_root": "/home/me"})
        rn.drop_path_injection(path, rn.parameters_of(path))
        text = path.read_text()
        assert "injected-parameters" not in text
        assert "a.ipynb" not in text

    def test_stays_where_a_value_differs(self, tmp_path):
        path = self.executed(tmp_path / "a.ipynb", {"profile": "smoke"})
        rn.drop_path_injection(path, rn.parameters_of(path))
        assert "injected-parameters" in path.read_text()


class TestRunDir:
    def test_same_inputs_resume(self, tmp_path):
        run = tmp_path / "run"
        rn.prepare_run_dir(run, "one")
        (run / "checkpoint").write_text("kept")
        rn.prepare_run_dir(run, "one")
        assert (run / "checkpoint").read_text() == "kept"

    def test_other_inputs_start_anew_and_the_old_run_is_kept_aside(self, tmp_path):
        run = tmp_path / "run"
        for digest in ("one", "two", "three"):
            rn.prepare_run_dir(run, digest)
            assert [p.name for p in run.iterdir()] == [rn.RUN_MARK]
            (run / "checkpoint").write_text(digest)
        assert (tmp_path / "run.previous" / "checkpoint").read_text() == "two"

    def test_a_folder_of_somebody_else_is_left_alone(self, tmp_path):
        (tmp_path / "thesis.tex").write_text("x")
        with pytest.raises(rn.NotebookError, match="no notebook run left there"):
            rn.prepare_run_dir(tmp_path, "one")
        assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]

    def test_digest_follows_notebook_and_parameters(self, tmp_path):
        source = write(tmp_path / "a.ipynb", "x = 1")
        one = rn.inputs_digest(source, {"seed": 0})
        assert one == rn.inputs_digest(source, {"seed": 0})
        assert one != rn.inputs_digest(source, {"seed": 1})
        write(source, "x = 2")
        assert one != rn.inputs_digest(source, {"seed": 0})


def test_the_run_folder_is_passed_to_a_notebook_that_asks(tmp_path):
    source = write(
        tmp_path / "a.ipynb",
        "import pathlib\n(pathlib.Path(out) / 'checkpoint').write_text('x')",
        parameters=PARAMETERS + '\nout: str = "../runs/a"  # run',
    )
    rn.run_notebook(source, tmp_path / "b.ipynb", run_dir=tmp_path / "run")
    assert (tmp_path / "run" / "checkpoint").exists()


def test_command_line_reports_in_one_line(tmp_path, capsys):
    source = write(tmp_path / "a.ipynb", "print(1)")
    status = rn.main([str(source), str(tmp_path / "b.ipynb"), "-p", "epoch", "3"])
    assert status == 1
    error = capsys.readouterr().err
    assert error.startswith("error: a.ipynb has no parameter 'epoch'")


def test_two_runs_of_one_notebook_take_turns(tmp_path):
    source = write(tmp_path / "a.ipynb", "import time\ntime.sleep(1)\nprint(seed)")
    command = [sys.executable, rn.__file__, str(source), str(tmp_path / "b.ipynb")]
    command += ["--run-dir", str(tmp_path / "run")]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=300)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert sum("another process works here, waiting" in words for words in said) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.ipynb", "b.ipynb", "run"]


@pytest.mark.parametrize("place", ["file/b.ipynb", "file"])
def test_a_place_that_cannot_be_written_is_said_before_the_run(tmp_path, capsys, place):
    source = write(tmp_path / "a.ipynb", f"open({str(tmp_path / 'ran')!r}, 'w')")
    (tmp_path / "file").write_text("mine")
    out = tmp_path / (place if place != "file" else "b.ipynb")
    given = [str(source), str(out)] + ["--run-dir", str(tmp_path / "file")] * (place == "file")
    assert rn.main(given) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "is a file, expected a folder. Name another place" in error
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.ipynb", "file"]


def test_litter_is_no_run_of_somebody_else(tmp_path):
    (tmp_path / ".DS_Store").touch()
    rn.prepare_run_dir(tmp_path, "one")
    assert (tmp_path / rn.RUN_MARK).is_file()
