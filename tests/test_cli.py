"""The command line: each command on files made here, and each failure as one clear line."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from reidlab.cli import app, parse_settings
from reidlab.evaluation import evaluate
from reidlab.synth import suggested_world, write_dataset


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def market(tmp_path):
    """Two people, two cameras, in the layout of Market-1501."""
    for split, pids in (
        ("bounding_box_train", (2, 7)),
        ("query", (3,)),
        ("bounding_box_test", (3,)),
    ):
        (tmp_path / split).mkdir()
        for pid in pids:
            for camera in (1, 2):
                name = f"{pid:04d}_c{camera}s1_000451_03.jpg"
                Image.new("RGB", (64, 128), (pid, camera, 0)).save(tmp_path / split / name)
    return tmp_path


def record(path, **changes) -> None:
    """A small but whole run record."""
    whole = {
        "schema": 1, "experiment": {"lr": 0.1, "name": "a"}, "seed": 0, "commit": None,
        "dirty": None, "data": {"name": "toy", "fingerprint": "0"}, "environment": {},
        "metrics": {"rank1": 0.5},
        "seconds": {"train": 1.0}, "images_per_second": 1.0, "peak_memory_mb": 1.0,
        "started": "2026-01-01", "finished": "2026-01-01", "history": [{"epoch": 1}],
    }  # fmt: skip
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(whole | changes))


def test_describe_counts(market):
    result = run("data", "describe", "market1501", market)
    assert result.exit_code == 0, result.output
    assert "fingerprint" in result.output
    assert all(part in result.output for part in ("train", "query", "gallery"))


def test_check_names_a_truncated_image(market):
    broken = market / "query" / "0003_c1s1_000451_03.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    result = run("data", "check", "market1501", market)
    assert result.exit_code == 1
    assert str(broken) in result.output


def test_describe_takes_options_and_says_whose_rules_hold(tmp_path):
    for k in range(4):
        folder = tmp_path / f"{k}" / "a"
        folder.mkdir(parents=True)
        (folder / "1.jpg").touch()
    result = run("data", "describe", "folder", tmp_path, "--option", "train_fraction=0.25")
    assert result.exit_code == 0, result.output
    assert "options: from=folders, train_fraction=0.25" in result.output
    assert "camera rule: same id and same camera dropped" in result.output
    assert "licence: yours to know" in result.output
    for wrong, message in (
        ("train_fraction", "expected key=value"),
        ("trial=1", "folder has no option trial: expected train_fraction"),
    ):
        result = run("data", "describe", "folder", tmp_path, "--option", wrong)
        assert result.exit_code == 1
        assert message in result.output


def test_options_of_every_kind():
    given = ["trial=None", "shots=10", "train_fraction=0.5", "mode=indoor", "val=out"]
    assert parse_settings(given) == {
        "trial": None, "shots": 10, "train_fraction": 0.5, "mode": "indoor", "val": "out",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["32,16", "32x16", "(32,16)", "[32, 16]", "(32, 16)", "32×16"])
def test_a_tuple_of_a_recipe(text, market, tmp_path):
    result = train(market, tmp_path, *TINY, "--set", f"image_size={text}", "--set", "epochs=oops")
    assert "epochs is 'oops'" in result.stderr
    assert "image_size" not in result.stderr


@pytest.mark.parametrize("text", ["32", "32,16,8", "32x", "32.5x16", "a,b"])
def test_what_is_no_tuple_of_a_recipe(text, market, tmp_path):
    result = train(market, tmp_path, *TINY, "--set", f"image_size={text}")
    assert result.exit_code == 1
    assert "expected height and width in pixels, such as (192, 96)" in result.stderr


def test_settings_of_every_kind():
    given = ["image_size=[64,32]", "depth=2", "flip_test=True", "precision=no", "weights=None"]
    assert parse_settings(given) == {
        "image_size": [64, 32], "depth": 2, "flip_test": True, "precision": "no", "weights": None,
    }  # fmt: skip


def train(market, out, *more):
    where = ("--dataset", "market1501", "--root", market, "--out", out)
    return run("train", "--paper", "vit_baseline", "--profile", "smoke", *where, *more)


TINY = [f"--set={x}" for x in ("depth=1", "identities_per_batch=2", "images_per_identity=2")]


def test_train_leaves_a_record_and_a_model(market, tmp_path):
    out = tmp_path / "run"
    result = train(market, out, "--seed", 3, *TINY, "--set", "image_size=[32,16]")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1].startswith("Rank-1 ")
    assert "12,936" in result.stderr  # the warning that this is not the published set
    saved = json.loads((out / "record.json").read_text())
    assert saved["seed"] == 3
    assert saved["experiment"]["image_size"] == [32, 16]
    assert saved["experiment"]["profile"] == "smoke"
    assert (out / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--set", "epochs"], "--set 'epochs': expected key=value, as in --set epochs=5"),
        (["--set", "epoch=5"], "no setting 'epoch'. Did you mean 'epochs'?"),
        (["--set", "depth=1"], "has 2 people, but a batch needs identities_per_batch=4"),
        (["--profile", "huge"], "vit_baseline has no profile 'huge'"),
        (["--paper", "nobody"], "there is no recipe for 'nobody'"),
        (["--root", "gone"], "gone"),
        ([*TINY, "--set", "precision=fp16"], "this machine has no GPU"),
    ],
)
def test_train_with_what_cannot_work(market, tmp_path, more, message, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    result = train(market, tmp_path / "run", *more)
    assert result.exit_code == 1
    assert "error: " in result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.output


def one_camera(root):
    """A user's own images: four people, all at one door."""
    for person in range(4):
        (root / f"p{person}" / "door").mkdir(parents=True)
        for shot in range(3):
            Image.new("RGB", (16, 32), (60 * person, shot, 0)).save(
                root / f"p{person}" / "door" / f"{shot}.jpg"
            )
    return root


def test_one_camera_is_said_before_and_the_ways_out_work(market, tmp_path):
    own, out = one_camera(tmp_path / "own"), tmp_path / "run"
    where = ("--paper", "vit_baseline", "--profile", "smoke", "--dataset", "folder", "--root", own)
    more = ("--out", out, *TINY, "--set", "image_size=[32,16]")
    result = run("train", *where, *more)
    assert result.exit_code == 1
    (told,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "none of the 6 queries of folder has a match" in told
    assert "--train-only" in told
    assert "epoch" not in result.stdout
    assert not out.exists()

    trained = run("train", *where, *more, "--train-only")
    assert trained.exit_code == 0, trained.output
    assert "nothing was tested" in trained.stdout
    judged = run("evaluate", out, "market1501", market)
    assert judged.exit_code == 0, judged.output
    assert judged.stdout.startswith("Rank-1 ")
    refused = run("evaluate", out, "folder", own)
    assert refused.exit_code == 1
    assert "error: none of the 6 queries" in refused.stderr


def test_a_matcher_trained_on_a_set_without_a_test_is_judged_on_another(market, tmp_path):
    world = suggested_world("randperson", seed=2, identities=6, cameras=2, resolution=(32, 16))
    root = write_dataset("randperson", tmp_path / "randperson", world)
    out = tmp_path / "run"
    small = [f"--set={x}" for x in ("depth=1", "image_size=32x16", "epochs=1")]
    where = ("--dataset", "randperson", "--root", root, "--out", out)
    learned = run("train", "--paper", "transmatcher", "--profile", "smoke", *where, *small)
    assert learned.exit_code == 0, learned.output
    assert "nothing was tested" in learned.stdout
    scores = tmp_path / "scores.npy"
    found = run("evaluate", out, "market1501", market, "--scores", scores)
    assert found.exit_code == 0, found.output
    assert found.stdout.splitlines()[-1].endswith("2 queries, standard")
    assert np.load(scores).shape == (2, 2)
    itself = run("evaluate", out, "randperson", root)
    assert "error: randperson has 0 query and 0 gallery images" in itself.stderr
    wrong = run("judge", out, "--metric", "euclidean")
    assert wrong.exit_code == 1
    assert f"is judged by: python -m reidlab evaluate {out} NAME ROOT" in wrong.stderr


def test_a_set_without_a_test_part_or_without_training_people(tmp_path):
    own, out = one_camera(tmp_path / "own"), tmp_path / "run"
    from reidlab.models import TokenBackbone
    from reidlab.training.checkpoint import save_weights

    save_weights(tmp_path / "w.safetensors", TokenBackbone())
    (tmp_path / "train" / "train").mkdir(parents=True)
    (own / "p0").rename(tmp_path / "train" / "train" / "p0")
    zero = ("--weights", tmp_path / "w.safetensors")
    learned = run("zero-shot", "folder", tmp_path / "train", *zero)
    assert learned.exit_code == 1
    assert "has 0 query and 0 gallery images" in learned.output
    tests = run(
        "train", "--paper", "vit_baseline", "--profile", "smoke", "--dataset", "folder",
        "--root", own, "--option", "train_fraction=0", "--out", out, *TINY,
    )  # fmt: skip
    assert tests.exit_code == 1
    assert "error: folder has no training images, only 9 query and 9 gallery" in tests.output
    assert "Traceback" not in learned.output + tests.output


@pytest.mark.parametrize("command", ["train", "pretrain"])
def test_an_out_that_is_a_file(market, tmp_path, command):
    out = tmp_path / "taken"
    out.write_text("mine")
    if command == "train":
        result = train(market, out, *TINY, "--set", "image_size=[32,16]")
    else:
        result = run("pretrain", "--out", out, "--small")
    assert result.exit_code == 1
    assert f"error: {out} cannot be written to" in result.stderr
    assert "Traceback" not in result.output
    assert out.read_text() == "mine"


def test_options_that_exclude_each_other(tmp_path):
    both = run("pretrain", "--out", tmp_path, "--arm", "shipped", "--plain")
    assert "--plain is a start of its own" in both.stderr
    alone = run("compare", tmp_path / "a.json", "--claims", "la_transformer")
    assert "--claims la_transformer is for two sides" in alone.stderr
    assert both.exit_code == alone.exit_code == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_train_with_an_image_that_cannot_be_read(market, tmp_path, workers):
    for broken in (market / "bounding_box_train").iterdir():
        broken.write_bytes(broken.read_bytes()[:200])
    result = train(market, tmp_path / "run", *TINY, "--set", f"workers={workers}")
    assert result.exit_code == 1
    assert "error: " in result.stderr
    assert "bounding_box_train" in result.stderr
    assert "Caught" not in result.stderr
    assert "Traceback" not in result.stderr


def test_describe_says_when_it_does_not_know_what_is_turned(market, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    note = "turned: known once all images were decoded"
    assert note not in run("data", "describe", "market1501", market).output
    monkeypatch.setattr("reidlab.data.decoding.QUICKLY", 3)
    assert note in run("data", "describe", "market1501", market).output


def test_check_lists_foreign_names(market):
    whole = run("data", "check", "market1501", market)
    assert whole.exit_code == 1  # far from the published counts
    assert "12,936" in whole.output
    (market / "world.json").write_text("{}")
    assert run("data", "check", "market1501", market).exit_code == 0
    (market / "query" / "Thumbs.db").write_bytes(b"x")
    result = run("data", "check", "market1501", market)
    assert result.exit_code == 0  # litter does no harm
    assert "left out: query/Thumbs.db" in result.output
    names = [f"holiday{i}.jpg" for i in range(5)]
    for name in names:
        (market / "query" / name).write_bytes(b"x")
    result = run("data", "check", "market1501", market)
    assert result.exit_code == 1
    assert all(f"left out: query/{name}" in result.output for name in names)


def test_check_decodes_images_inside_an_archive(tmp_path):
    from tests.data.layouts import cuhk03

    result = run("data", "check", "cuhk03-np", cuhk03(tmp_path))
    assert "problem: train has" in result.output
    assert "cannot read" not in result.output
    (tmp_path / "world.json").write_text("{}")
    result = run("data", "check", "cuhk03-np", tmp_path)
    assert result.exit_code == 0, result.output
    assert "11 images of cuhk03-np: all whole" in result.output
    assert "options: boxes=detected, form=mat" in result.output  # the other boxes were not read


def test_options_of_a_set_are_numbers(tmp_path):
    from tests.data.test_pku_folds import la_tf_pp

    given = ["data", "describe", "pku-reid", la_tf_pp(tmp_path), "--option", "fold=1"]
    done = run(*given, "--option", "folds=3")
    assert "options: split=folds, fold=1, folds=3" in done.output, done.output
    lone = run(*given)
    assert (lone.exit_code, "choose fold and folds together" in lone.output) == (1, True)


@pytest.mark.parametrize(
    ("layout", "options", "spare"),
    [
        ("sysu_mm01", [], "cam4/0010/0011.jpg"),  # one of twelve is drawn
        ("sysu_mm01", ["mode=indoor"], "cam5/0006/0001.jpg"),
        ("sysu_mm01", ["shots=10"], "cam1/0050/0001.jpg"),  # of a person who is in no list
        ("msmt17", ["val=out"], "train/0001/0001_009_07_0302afternoon_0007_2.jpg"),
        ("pku_reid", [], "val/gallery/004/02_3.png"),
        ("pku_reid", ["split=la-tf-pp"], "val/all_imgs/004/02_3.png"),
        ("occluded_duke", [], "DukeMTMC-reID/query/0006_c3_f0046985.jpg"),
    ],
)
def test_check_decodes_what_the_options_do_not_use(layout, options, spare, tmp_path):
    from tests.data import layouts
    from tests.data.conftest import write_image

    root = getattr(layouts, layout)(tmp_path / "set")
    (root / "world.json").write_text("{}")
    for path in root.rglob("*.*g"):
        write_image(path, size=(4, 8))
    name = layout.replace("_", "-")
    given = ["data", "check", name, root, *(f"--option={option}" for option in options)]
    result = run(*given)
    assert result.exit_code == 0, result.output
    assert "; 0 of the images are not used" not in result.output
    (root / spare).write_bytes((root / spare).read_bytes()[:200])
    result = run(*given)
    assert result.exit_code == 1
    assert f"{spare}: " in result.stderr


def test_check_of_a_pool_that_is_not_whole(tmp_path):
    from tests.data.layouts import sysu_mm01

    result = run("data", "check", "sysu-mm01", sysu_mm01(tmp_path))
    assert "galleries are drawn, are 96; published are 6,775" in result.stderr


def test_check_names_pictures_of_training_and_test(tmp_path):
    from tests.data.conftest import write_image

    for seed, place in enumerate(("train/1/a/1.jpg", "test/2/a/1.jpg", "test/2/b/1.jpg")):
        write_image(tmp_path / place, seed)
    assert run("data", "check", "folder", tmp_path).exit_code == 0
    write_image(tmp_path / "test/2/a/2.jpg", 0)
    result = run("data", "check", "folder", tmp_path)
    assert result.exit_code == 1
    assert "one picture is in training and in test" in result.stderr
    assert "test/2/a/2.jpg" in result.stderr


@pytest.mark.parametrize(
    "command",
    [["data", "describe", "market1501", "{}"],
     ["train", "--paper=vit_baseline", "--dataset=market1501", "--root={}", "--out={}/run",
      "--profile=smoke"],
     ["zero-shot", "market1501", "{}", "--weights=gone"],
     ["evaluate", "gone", "market1501", "{}"],
     ["experiment", "run", "la_tf_pp.rankings", "--data-root={}"]],
)  # fmt: skip
def test_warnings_are_sentences(command, market, capfd):
    """Without file and line of our own code, in every command that opens a data set."""
    result = run(*(word.format(market) for word in command))
    said = [line for line in result.stderr.splitlines() if "12,936" in line]
    assert all(line.startswith("warning: market1501 at ") for line in said)
    assert ".py:" not in result.stderr + capfd.readouterr().err
    assert said or command[0] in ("zero-shot", "experiment")


def test_check_says_what_a_file_is(market):
    image, other = sorted((market / "bounding_box_train").iterdir())[:2]
    image.write_bytes(b"<!DOCTYPE html><title>Sign in</title>")
    other.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    result = run("data", "check", "market1501", market)
    assert result.exit_code == 1
    assert f"problem: cannot read the image {image}: it is a web page" in result.output
    assert f"problem: cannot read the image {other}: it is a pointer of Git LFS" in result.output
    assert "turned" in result.output


def test_list_names_every_set():
    from reidlab.data import list_datasets

    result = run("data", "list")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.output.splitlines()[2:]] == list_datasets()


@pytest.mark.parametrize("command", ["describe", "check"])
def test_a_missing_folder_is_one_clear_message(tmp_path, command):
    result = run("data", command, "market1501", tmp_path / "gone")
    assert result.exit_code == 1
    assert "error:" in result.output
    assert "gone" in result.output
    assert "Traceback" not in result.output


def test_a_missing_file_is_named_without_a_number(tmp_path):
    result = run("judge", tmp_path / "gone.npz")
    assert result.exit_code == 1
    assert result.output.startswith(f"error: {tmp_path / 'gone.npz'}: ")
    assert "Errno" not in result.output


def test_record_show(tmp_path):
    record(tmp_path / "record.json", seed=1)
    shown = run("record", "show", tmp_path).output.splitlines()
    assert "experiment.lr = 0.1" in shown
    assert not any(line.startswith("history") for line in shown)


def test_compare_says_what_differs_and_by_how_much(tmp_path):
    record(tmp_path / "a" / "record.json")
    record(tmp_path / "b.json", experiment={"lr": 0.2, "name": "a"}, metrics={"rank1": 0.625})
    result = run("compare", tmp_path / "a", tmp_path / "b.json")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    assert ["experiment.lr", "0.1", "0.2"] in lines
    (row,) = [line for line in lines if line[:1] == ["rank1"]]
    assert row == ["rank1", "50.00", "-", "62.50", "-", "12.50", "-", "-"]
    assert "book/claims/None.yml does not exist" in result.output


def test_compare_over_other_images_is_loud(tmp_path):
    record(tmp_path / "a.json")
    record(tmp_path / "b.json", data={"name": "toy", "fingerprint": "1"})
    result = run("compare", tmp_path / "a.json", tmp_path / "b.json")
    assert result.exit_code == 3
    assert "NOT COMPARABLE" in result.stdout
    assert "fingerprint of the images: 0 / 1" in result.stdout


def test_compare_puts_the_published_interval_beside_the_runs(tmp_path):
    from reidlab import recipes

    claims = tmp_path / "vit_baseline.yml"
    common = "common: {dataset: toy, protocol: standard, table: t, how: h, status: s, counts: {}}"
    claims.write_text(f"{common}\nclaims: [{{id: top, text: x, metric: rank1, value: 50.5}}]\n")
    paper = {"paper": "vit_baseline", **recipes.get("vit_baseline", "paper").to_dict()}
    for seed, share in enumerate((0.49, 0.51)):
        record(tmp_path / f"a{seed}.json", seed=seed, experiment=paper, metrics={"rank1": share})
    record(tmp_path / "b.json", experiment=paper, metrics={"rank1": 0.7})
    given = ("compare", str(tmp_path / "a*.json"), tmp_path / "b.json", "--claims", claims)
    result = run(*given)
    assert result.exit_code == 0, result.output
    first, second = result.output.split("A and the published numbers")[1].split("B and the")
    assert "top rank1 49.5 to 51.5 50.0 2 inside" in " ".join(first.split())
    assert "outside by +18.50 points" in second
    claims.write_text("claim: []")
    assert "error: vit_baseline.yml" in run(*given).stderr.replace(f"{tmp_path}/", "")


@pytest.mark.parametrize(
    ("where", "message"),
    [("gone", "there is no run record at"), ("half.json", "is not JSON")],
)
def test_compare_with_what_is_no_record(tmp_path, where, message):
    record(tmp_path / "a.json")
    (tmp_path / "half.json").write_text("{")
    result = run("compare", tmp_path / "a.json", tmp_path / where)
    assert result.exit_code == 1
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert run("compare", tmp_path / "a.json", tmp_path / "a.json", "--level=95").exit_code == 1


def test_record_of_something_else(tmp_path):
    (tmp_path / "record.json").write_text("{}")
    result = run("record", "show", tmp_path)
    assert result.exit_code == 1
    assert "record" in result.output
    assert "Traceback" not in result.output


def test_python_dash_m_answers_without_torch():
    code = "import sys; sys.modules['torch'] = None; import runpy; sys.argv = ['x', '--help']\n"
    code += "runpy.run_module('reidlab', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "python -m reidlab" in done.stdout


def test_zero_shot_judges_three_views_and_saves_the_record(market, tmp_path):
    from reidlab.models import TokenBackbone
    from reidlab.training.checkpoint import save_weights

    save_weights(tmp_path / "w.safetensors", TokenBackbone())
    given = ("--weights", tmp_path / "w.safetensors", "--save", tmp_path / "zero.json")
    result = run("zero-shot", "market1501", market, *given)
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["class", "pooled", "rows"]
    assert "12,936" in result.stderr
    saved = json.loads((tmp_path / "zero.json").read_text())
    assert saved["experiment"]["weights"] == "w.safetensors"
    metrics = saved["metrics"]
    assert metrics["rank1"] == metrics["class_rank1"]
    assert "rows_mAP_low" not in metrics, "one person in the test has no interval"
    other = (*given[:3], tmp_path / "train.json", "--image-size", 64, 32, "--training-people")
    train = run("zero-shot", "market1501", market, *other)
    assert train.exit_code == 0, train.output
    found = json.loads((tmp_path / "train.json").read_text())
    assert found["experiment"]["image_size"] == [64, 32]
    assert "training people" in found["data"]["name"]
    metrics = found["metrics"]
    assert metrics["rows_mAP_low"] <= metrics["rows_mAP"] <= metrics["rows_mAP_high"]


@pytest.mark.parametrize("change", [("--image-size", 64, 32), ("--training-people",)])
def test_a_record_of_another_run_is_not_replaced(market, tmp_path, change):
    given = ("zero-shot", "market1501", market, "--save", tmp_path / "zero.json")
    assert run(*given).exit_code == 0
    before = json.loads((tmp_path / "zero.json").read_text())["metrics"]
    assert run(*given).exit_code == 0, "the same run again"
    refused = run(*given, *change)
    assert refused.exit_code == 1
    assert "zero.json holds the record of another run: " in refused.output
    assert "Rank-1" not in refused.output, "it is said before the work"
    assert json.loads((tmp_path / "zero.json").read_text())["metrics"] == before


@pytest.mark.parametrize(
    "command",
    [
        ("zero-shot", "market1501", "{market}", "--save", "{file}/a.json"),
        ("weights", "{file}/w.safetensors"),
        ("experiment", "run", "vit_baseline", "--profile", "smoke"),
    ],
)
def test_what_cannot_be_written_is_said_before_the_work(market, tmp_path, monkeypatch, command):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "runs").write_text("mine")
    monkeypatch.chdir(tmp_path)
    words = {"market": market, "file": tmp_path / "file"}
    result = run(*(word.format(**words) for word in command))
    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 1, result.output
    assert " is a file, expected a folder. " in result.output


def test_zero_shot_with_weights_that_are_not_there(market, tmp_path):
    result = run("zero-shot", "market1501", market, "--weights", tmp_path / "no.safetensors")
    assert result.exit_code == 1
    assert "no.safetensors" in result.output
    assert "Traceback" not in result.output


@pytest.fixture
def embeddings(tmp_path):
    """A file of embeddings as another program would leave it."""
    rng = np.random.default_rng(0)
    pids, camids = np.arange(24) % 4, np.arange(24) // 4 % 3
    emb = np.eye(4, 6)[pids] + 0.4 * rng.normal(size=(24, 6))
    arrays = {"q_emb": emb[:8], "g_emb": emb[8:], "q_pids": pids[:8], "g_pids": pids[8:]}
    arrays |= {"q_camids": camids[:8], "g_camids": camids[8:]}
    np.savez(tmp_path / "test.npz", **arrays)
    return arrays


def test_judge_puts_the_protocols_side_by_side(embeddings, tmp_path):
    result = run("judge", tmp_path / "test.npz")
    assert result.exit_code == 0
    standard = evaluate(**embeddings)
    line = next(line for line in result.output.splitlines() if line.startswith("standard"))
    assert [f"{100 * x:.1f}" for x in (standard.rank1, standard.mAP)] == [
        line.split()[1], line.split()[4],
    ]  # fmt: skip
    for name in ("sysu", "regdb", "cuhk03-single-shot", "la-official"):
        assert name in result.output
    assert "interval of the mAP over people" in result.output


def test_judge_without_cameras_says_what_is_left_out(embeddings, tmp_path):
    without = {name: array for name, array in embeddings.items() if not name.endswith("camids")}
    np.savez(tmp_path / "test.npz", **without)
    result = run("judge", tmp_path / "test.npz")
    assert result.exit_code == 0
    assert "regdb" in result.stdout
    assert "\nstandard" not in result.stdout
    assert "left out: standard: q_camids is missing" in result.stderr
    asked = run("judge", tmp_path / "test.npz", "--protocol", "standard")
    assert asked.exit_code == 1
    assert "error: q_camids is missing" in asked.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"features": np.zeros((2, 2))}, "holds features; expected q_emb, g_emb, q_pids"),
        ({"q_camids": np.zeros(8, int)}, "both or neither, q_camids, g_camids"),
        ({"q_pids": np.array(["ann"] * 8)}, "q_pids holds <U3 values such as"),
        ({"q_pids": np.array([{}] * 8)}, "holds Python objects"),
    ],
)
def test_judge_with_a_file_of_something_else(embeddings, tmp_path, content, message):
    good = {name: array for name, array in embeddings.items() if not name.endswith("camids")}
    np.savez(tmp_path / "test.npz", **(content if "features" in content else good | content))
    result = run("judge", tmp_path / "test.npz")
    assert result.exit_code == 1
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_judge_with_a_damaged_file(embeddings, tmp_path):
    path = tmp_path / "test.npz"
    path.write_bytes(path.read_bytes()[:300])
    assert "error: " in run("judge", path).stderr
    path.write_bytes(b"no archive at all")
    assert "no .npz file" in run("judge", path).stderr
    assert "No such file" in run("judge", tmp_path / "nowhere.npz").stderr


def test_weights_are_written_for_timm(tmp_path):
    out = tmp_path / "vit.safetensors"
    result = run("weights", out, "--image-size", 64, 32)
    assert result.exit_code == 0, result.output
    vit = eval(result.output, {"timm": pytest.importorskip("timm")})  # it prints the line to type
    assert vit.pos_embed.shape == (1, 1 + 4 * 2, 192)


def test_weights_of_a_file_that_does_not_say_its_grid(tmp_path):
    import torch

    from reidlab.models.vit import TokenBackbone, resize_pos_embed

    torch.manual_seed(0)
    tall = TokenBackbone(image_size=(256, 64))  # 16 x 4 patches
    torch.save({"module." + k: v for k, v in tall.state_dict().items()}, tmp_path / "tall.pth")
    out = tmp_path / "vit.safetensors"
    given = ("weights", out, "--weights", tmp_path / "tall.pth", "--image-size", 64, 32)
    result = run(*given, "--weights-grid", 16, 4)
    assert result.exit_code == 0, result.output
    assert "tall.pth: the weights are taken from module.*" in result.output
    expected = resize_pos_embed(tall.pos_embed, (16, 4), (4, 2))
    from safetensors.torch import load_file

    assert torch.equal(load_file(out)["pos_embed"], expected)
    wrong = run(*given, "--weights-grid", 16, 5)
    assert wrong.exit_code == 1
    assert "grid=16x5 has 80" in wrong.output


def test_weights_that_are_not_there(tmp_path):
    result = run("weights", tmp_path / "vit.safetensors", "--weights", tmp_path / "no.safetensors")
    assert result.exit_code == 1
    assert "error: weights=" in result.output
    assert "there is no such file" in result.output


def test_zero_shot_with_a_checkpoint_that_has_no_name(market):
    result = run("zero-shot", "market1501", market, "--weights", "timm")
    assert result.exit_code == 1
    assert "does not say which checkpoint" in result.output
    assert "vit_tiny_patch16_224.augreg_in21k" in result.output
    result = run("zero-shot", "market1501", market, "--backbone", "resnet18")
    assert result.exit_code == 1
    assert "expected a plain ViT" in result.output


def test_check_tells_one_picture_in_two_cameras(tmp_path):
    for pid, cam, shade in ((1, "a", 9), (1, "b", 90), (2, "a", 50), (2, "b", 50)):
        path = tmp_path / str(pid) / cam / "1.png"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (8, 16), (shade, pid, 0)).save(path)
    found = CliRunner().invoke(app, ["data", "check", "folder", str(tmp_path)])
    assert found.exit_code == 1
    assert "one picture is of two people or in two cameras" in found.output


# --- power: what an experiment can decide ---------------------------------------------------------


@pytest.fixture
def baseline(tmp_path, monkeypatch):
    """Writes runs of an experiment with people, and is where nothing else is at hand."""
    from reidlab import experiments
    from reidlab.experiments.runner import Workspace

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(experiments, "published", lambda name: tmp_path / f"{name}.jsonl")
    asked = experiments.design("vit_baseline.pku_reid")
    cell = next(iter(asked.cells().values()))

    def make(seeds, *, local=False, **people):
        rng, lines = np.random.default_rng(0), []
        hard = rng.uniform(0.3, 0.7, 20)
        files = [path for path, (other, _) in Workspace().files(asked).items() if other == cell]
        for seed in range(seeds):
            ap = np.clip(hard + rng.normal(0, 0.02) + rng.normal(0, 0.05, 20), 0, 1) * 3
            found = {"pid": [*range(20)], "queries": [3] * 20, "ap": ap.tolist()} | people
            path = files[seed] if local else tmp_path / "line.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            record(
                path, seed=seed, levels=dict(cell.levels), experiment=cell.recipe.to_dict(),
                after={"people": found} if found["pid"] else {},
            )  # fmt: skip
            lines.append(path.read_text())
        if not local:
            (tmp_path / f"{asked.name}.jsonl").write_text("\n".join(lines))
        return cell.name

    return make


@pytest.mark.parametrize("local", [False, True])
def test_power_prints_what_each_number_of_seeds_can_decide(baseline, local):
    name = baseline(3, local=local)
    shown = run("experiment", "power", "vit_baseline.pku_reid", "--seeds", 3, "--unlike", 0.05)
    assert shown.exit_code == 0, shown.output
    lines = shown.output.splitlines()
    assert lines[0].startswith(f"{name}: mAP ")
    assert "over 3 seeds, 20 people and 60 queries" in lines[0]
    assert lines[1].split() == ["unlike", "0", "unlike", "0.05"]
    assert lines[2].split() == ["smallest", "clear", "none"] * 2
    assert lines[4].split() == ["1", *"------"]
    for row in lines[5:7]:
        assert len(row.split()) == 7
    assert float(lines[6].split()[1]) < float(lines[5].split()[1])
    assert "SE^2 = 2 s / n + 2 b / (n P) + 2 unlike m / P" in lines[-1]
    assert run("experiment", "power", "vit_baseline.pku_reid", "--only", name).exit_code == 0


def test_power_takes_the_variances_of_all_runs(baseline):
    baseline(3, local=True)
    shown = run("experiment", "power", "vit_baseline.pku_reid", "--seeds", 2)
    assert "over 3 seeds, 20 people" in shown.output
    assert [line.split()[0] for line in shown.output.splitlines()[4:6]] == ["1", "2"]


@pytest.mark.parametrize(
    ("made", "options", "message"),
    [
        (None, (), "runs/experiments nor in the book: first python -m"),
        ({"seeds": 1}, (), "there is one seed, expected two at least, better five"),
        ({"seeds": 2, "pid": []}, (), "a run keeps no people of a step 'people'"),
        ({"seeds": 2, "pid": [], "ap": []}, ("--only", "no"), "has no runs of 'no'; it has"),
        ({"seeds": 2}, ("--unlike", 3), "unlike is 3.0, expected 0 (people alike) to 1"),
        ({"seeds": 2}, ("--seeds", 0), "seeds is 0, expected at least 1"),
    ],
)
def test_power_says_what_is_missing(baseline, made, options, message):
    if made:
        baseline(**made)
    refused = run("experiment", "power", "vit_baseline.pku_reid", *options)
    assert refused.exit_code == 1
    assert message in refused.output
    assert len(refused.output.splitlines()) <= 2, refused.output
