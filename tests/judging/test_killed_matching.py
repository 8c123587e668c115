"""The evaluation of a matcher, killed as a process: what was computed is not computed again."""

import os
import subprocess
import sys
from signal import SIGKILL

import numpy as np
import pytest

from reidlab.losses import Pairwise
from reidlab.training import build_model, fit

# The children are forked before torch has computed anything, so that it is imported once. Each
# writes "#" for a block, and is killed when it is asked for one more than it may compute.
SCRIPT = """
import os, signal, sys, warnings
warnings.simplefilter("ignore")
import torch
torch.set_num_threads(1)
from reidlab import training
from reidlab.cli import app
from reidlab.judging import matching
from reidlab.models.matcher import Matcher

matching.QUERIES, matching.IMAGES = 2, 3
match = Matcher.match
for life in map(int, sys.argv[1].split(",")):
    if os.fork() == 0:
        done = []
        def counted(*arguments):
            if len(done) == life:
                os.kill(os.getpid(), signal.SIGKILL)
            done.append(os.write(1, b"#"))
            return match(*arguments)
        Matcher.match = counted
        app(["evaluate", *sys.argv[2:]], standalone_mode=False)
        sys.stdout.flush()
        os._exit(0)
    print("|", os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""
BLOCKS = 2 * 6  # of 4 queries and 16 images


@pytest.fixture
def trained(ds, recipe, tmp_path):
    """The folder of a run of a matcher."""
    recipe = recipe.replace(
        model="transmatcher", switches={"dim": 8, "hidden": 16, "layers": 2}, losses=(Pairwise(),),
        image_size=(32, 16), depth=1, epochs=1, warmup_epochs=0,
    )  # fmt: skip
    learned = ds.train_only()
    fit(build_model(recipe, learned), learned, recipe, out=tmp_path / "run")
    return tmp_path / "run"


def evaluate(trained, root, scores, *lives):
    """Of each process, given how many blocks it may compute: how many it did, exit code, words."""
    given = [",".join(map(str, lives)), trained, "market1501", root, "--scores", scores]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, given)], capture_output=True, text=True,
        env=os.environ | {"REIDLAB_PROGRESS": "none"}, check=True,
    )  # fmt: skip
    said = [line.split("|") for line in done.stdout.replace("\n|", "|").splitlines()]
    return [(text.count("#"), int(code), text.strip("#")) for text, code in said]


def test_a_killed_evaluation_goes_on_with_what_it_has(trained, noise_root, tmp_path):
    """Each asks for the first block again, to be sure that it is the same matcher."""
    whole, kept = tmp_path / "whole.npy", tmp_path / "kept.npy"
    (uninterrupted,) = evaluate(trained, noise_root, whole, 99)
    assert uninterrupted[:2] == (BLOCKS, 0)
    assert uninterrupted[2].startswith("Rank-1 ")
    *killed, last = evaluate(trained, noise_root, kept, 0, 5, 4, 99)
    assert killed == [(0, -SIGKILL, ""), (5, -SIGKILL, ""), (4, -SIGKILL, "")]
    assert last == (1 + BLOCKS - 5 - (4 - 1), *uninterrupted[1:])
    np.testing.assert_array_equal(np.load(kept), np.load(whole))
