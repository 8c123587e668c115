"""A kernel that is killed, as by the system when memory is short, leaves nothing and says so."""

import nbformat

from workflow import run_notebook


def test_a_killed_kernel(tmp_path, capsys):
    code = ("seed: int = 0", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "1")
    cells = [nbformat.v4.new_code_cell(source) for source in code]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    source, out = tmp_path / "a.ipynb", tmp_path / "b.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), source)
    assert run_notebook.main([str(source), str(out)]) == 1
    assert "error: a.ipynb: the kernel died" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ipynb", "b.failed.ipynb"]
