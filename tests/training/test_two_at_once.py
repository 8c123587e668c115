"""Two that train one run in one folder: one does, the other waits and reads the result."""

import os
import subprocess
import sys

SCRIPT = """
import os, sys, time, warnings
warnings.simplefilter("ignore")
import torch
torch.set_num_threads(1)
from reidlab.data import open_dataset
from reidlab.training import Recipe, build_model, fit
ds = open_dataset("market1501", sys.argv[1])
recipe = Recipe.from_record(eval(sys.argv[3]))
children = []
for number in range(2):
    time.sleep(0.2 * number)
    children.append(os.fork())
    if children[-1] == 0:
        record = fit(build_model(recipe, ds), ds, recipe, out=sys.argv[2])
        print(f"finished {record.finished} {record.seconds['train']}", flush=True)
        os._exit(0)
print([os.waitpid(child, 0)[1] for child in children])
"""


def test_the_second_waits_and_reads_the_result(ds, recipe, tmp_path):
    recipe = recipe.replace(image_size=(32, 16), depth=1, epochs=12)
    out = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(ds.root), str(out), repr(recipe.to_dict())],
        capture_output=True,
        text=True,
        env=os.environ | {"REIDLAB_PROGRESS": "none"},
    )
    said = done.stdout.splitlines()
    assert said[-1] == "[0, 0]", done.stderr
    assert f"{out}: another process works here, waiting for its end" in said
    finished = [line for line in said if line.startswith("finished")]
    assert len(finished) == 2
    assert len(set(finished)) == 1
    assert sorted(path.name for path in out.iterdir()) == ["model.safetensors", "record.json"]
