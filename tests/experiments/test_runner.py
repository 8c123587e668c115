"""Runs are keyed by what went in: nothing is computed twice, nothing stale or planted is served."""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from reidlab import recipes
from reidlab.cli import app
from reidlab.data import DatasetError
from reidlab.experiments import Experiment, Runs, design, runner, sweep
from reidlab.experiments.after import BY_ORIENTATION, PEOPLE
from reidlab.experiments.design import Step
from reidlab.experiments.runner import Workspace, made_by, start_weights
from reidlab.files import project_root, sha256
from reidlab.models import TokenBackbone
from reidlab.models.pretrained import shipped_weights
from reidlab.synth import World, write_dataset
from reidlab.training import Recipe, fit
from reidlab.training.checkpoint import save_weights
from tests.data.layouts import touch


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    world = World(seed=5, identities=8, cameras=2, images_per_camera=2, resolution=(32, 16))
    return write_dataset("market1501", tmp_path_factory.mktemp("people"), world)


def start(profile, preset=None):
    return recipes.get("vit_baseline", "smoke").replace(image_size=(32, 16), depth=1)


def counted(calls):
    return Step("images", lambda run, ds: calls.append(run) or {"images": len(ds.query)})


@pytest.fixture
def toy():
    return Experiment(
        name="toy.epochs",
        question="?",
        data="market1501",
        start=start,
        factors={"epochs": {"one": {"epochs": 1}, "two": {"epochs": 2}}},
        seeds=1,
    )


@pytest.fixture
def workspace(tmp_path, people):
    return Workspace("smoke", people, tmp_path / "runs")


@pytest.fixture
def tables(tmp_path):
    """A workspace for tables, which have no use for the people."""
    return Workspace("smoke", folder=tmp_path / "runs")


@pytest.fixture
def trained(monkeypatch):
    """The folders in which something was trained, in order."""
    folders = []

    def spy(*arguments, out, **options):
        folders.append(out)
        return fit(*arguments, out=out, **options)

    monkeypatch.setattr(runner, "fit", spy)
    return folders


def test_a_run_is_made_once_and_shared_by_experiments(workspace, toy, trained):
    calls = []
    toy = replace(toy, after=(counted(calls),))
    paths = list(workspace.run(toy))
    assert [p.relative_to(workspace.folder).as_posix() for p in paths] == [
        "toy.epochs/smoke-market1501/one/seed0.json", "toy.epochs/smoke-market1501/two/seed0.json",
    ]  # fmt: skip
    line = json.loads(paths[0].read_text())
    assert (line["levels"], line["seed"]) == ({"epochs": "one"}, 0)
    assert line["after"] == {"images": {"images": len(workspace.open("market1501").query)}}
    assert (len(trained), len(calls)) == (2, 2)
    again = list(workspace.run(replace(toy, name="toy.others")))
    assert (len(trained), len(calls)) == (2, 2), "the same cells of another experiment"
    assert json.loads(again[0].read_text()) == line
    list(workspace.run(replace(toy, seeds=2), only=["one"]))
    assert len(trained) == 3
    runs = workspace.runs(toy)
    assert isinstance(runs, Runs)
    assert runs.table(rows="epochs")["runs"].tolist() == ["1", "1"]


def test_only_some_of_the_runs(workspace, toy, trained):
    assert [p.stem for p in workspace.run(replace(toy, seeds=2), only=["two/seed1"])] == ["seed1"]
    assert len(trained) == 1
    with pytest.raises(ValueError, match=r"toy\.epochs has no 'three'; it has one, two"):
        list(workspace.run(toy, only=["three"]))


def test_other_data_other_weights_or_another_seed_is_another_run(workspace, toy, tmp_path, trained):
    one = toy.cells("smoke")["one"]
    folders = {workspace.trained(toy, one, seed).folder for seed in (0, 1)}
    for name in ("a", "b"):  # two files of one name in two folders
        save_weights(tmp_path / name / "w.safetensors", TokenBackbone(image_size=(32, 16)))
        recipe = one.recipe.replace(weights=str(tmp_path / name / "w.safetensors"), depth=None)
        folders.add(workspace.trained(toy, replace(one, recipe=recipe), 0).folder)
    assert len(folders) == len(trained) == 4
    other = World(seed=6, identities=8, cameras=2, images_per_camera=2, resolution=(32, 16))
    elsewhere = replace(workspace, data_root=write_dataset("market1501", tmp_path / "q", other))
    folders.add(elsewhere.trained(toy, one, 0).folder)
    assert len(folders) == 5


# --- levels that change the data ------------------------------------------------------------------


@pytest.fixture(scope="module")
def turned_people(tmp_path_factory):
    """Twelve people in eight orientations, in the layout of PKU-Reid."""
    world = World(seed=5, identities=12, cameras=2, images_per_camera=8, resolution=(32, 16))
    return write_dataset("pku-reid", tmp_path_factory.mktemp("pku"), world)


def by_folds(folds, **changes):
    return Experiment(
        name="toy.folds",
        question="?",
        data="pku-reid",
        start=start,
        factors={
            "lr": {"low": {"lr": 1e-5}, "high": {"lr": 1e-3}},
            "fold": {str(k): {"data.fold": k, "data.folds": folds} for k in range(1, folds + 1)},
        },
        seeds=1,
        **changes,
    )


def test_a_level_may_change_the_data(turned_people, tmp_path, trained):
    workspace, seen = Workspace("smoke", turned_people, tmp_path / "runs"), []
    counted = Step("seen", lambda _, ds: seen.append(ds) or {"n": 1})
    asked = by_folds(3, after=(counted, PEOPLE, BY_ORIENTATION))
    assert asked.cells("smoke")["low_2"].options == {"fold": 2, "folds": 3}
    assert asked.cells("smoke")["low_2"].recipe == start("smoke").replace(lr=1e-5)
    low = ("low_1", "low_2", "low_3")
    assert list(workspace.run(asked, only=low)) == [
        workspace.results(asked) / n / "seed0.json" for n in low
    ]
    assert len(set(trained)) == 3
    assert sorted(pid for ds in seen for pid in ds.query["pid"].unique()) == list(
        sorted({*workspace.open("pku-reid").train["pid"], *workspace.open("pku-reid").query["pid"]})
    )
    runs = workspace.runs(asked)
    for run, ds in zip(runs.records, seen, strict=True):
        fold = int(run["levels"]["fold"])
        assert run["data"]["options"] == {"split": "folds", "fold": fold, "folds": 3}
        assert run["options"] == {"fold": fold, "folds": 3}
        assert run["data"]["query_identities"] == ds.query["pid"].nunique() == 4
    for step, judged in (("people", runs), ("authors", runs.judged("authors"))):
        found, metrics = runs.people("mAP", step), [run["metrics"] for run in judged.records]
        assert found.sums.shape == (1, 12)
        total = sum(each["mAP"] * each["num_valid"] for each in metrics)
        assert found.queries.sum() == sum(each["num_valid"] for each in metrics)
        assert found.sums.sum() == pytest.approx(total, abs=1e-4)
        hits = sum(each["rank1"] * each["num_valid"] for each in metrics)
        assert runs.people("rank1", step).sums.sum() == pytest.approx(hits, abs=1e-4)
        assert len(judged.by_seed("mAP")) == 1
    list(workspace.run(asked, only=low))
    assert (len(trained), len(seen)) == (3, 3), "they are read back"
    assert len(workspace.runs(by_folds(2))) == 0, (
        "a listed run of other folds is not of this design"
    )
    file = tmp_path / "book" / "folds.jsonl"
    workspace.publish(asked, file)
    assert [run["options"]["fold"] for run in Runs.read(file).records] == [1, 2, 3]


def test_splits_of_the_same_files_are_other_runs(tmp_path):
    """What the fingerprint of the files cannot tell, the options of the cell do."""
    touch(tmp_path / "people", [f"{k}/{c}/x.jpg" for k in range(8) for c in "ab"])
    workspace, made = Workspace("smoke", tmp_path / "people", tmp_path / "runs"), []
    workspace.once = lambda inputs, compute: made.append(inputs)
    for share in (None, 0.5, 0.25):
        changes = {} if share is None else {"data.train_fraction": share}
        toy = Experiment("toy.x", "?", "folder", start, {"people": {"some": changes}})
        workspace.trained(toy, toy.cells("smoke")["some"], 0)
    places = [workspace.place(inputs) for inputs in made]
    assert len(set(places)) == 3
    assert made[0].keys() == {"recipe", "start weights", "data", "seed"}, "as results before were"
    assert [inputs.get("options") for inputs in made[1:]] == [
        {"train_fraction": 0.5},
        {"train_fraction": 0.25},
    ]


def test_an_option_that_the_data_do_not_have(turned_people, tmp_path):
    workspace = Workspace("smoke", turned_people, tmp_path)
    toy = Experiment("toy.x", "?", "pku-reid", start, {"fold": {"1": {"data.fould": 1}}})
    with pytest.raises(
        DatasetError, match="pku-reid has no option fould: expected split, fold, fold"
    ):
        list(workspace.run(toy))


FREE = {"workers": 1, "embed_batch_size": 3, "gradient_checkpointing": True}


def test_every_free_setting_is_tried_below():
    assert FREE.keys() == set(Recipe.FREE)


@pytest.mark.parametrize("name", FREE)
def test_a_free_setting_is_no_part_of_what_made_a_run(workspace, toy, trained, name):
    one = toy.cells("smoke")["one"]
    free = replace(one, recipe=one.recipe.replace(**{name: FREE[name]}))
    assert getattr(free.recipe, name) != getattr(one.recipe, name)
    made = [workspace.trained(toy, cell, 0) for cell in (one, free)]
    assert made[0].folder == made[1].folder
    assert len(trained) == 1
    assert made_by(made[0].record, free.recipe)
    assert not made_by(made[0].record, free.recipe.replace(lr=1e-5))


def test_what_was_planted_or_made_of_something_else_is_not_served(workspace):
    inputs = {"world": "abc", "networks": ["1", "2"]}
    made = []

    def compute():
        made.append(1)
        return {"value": len(made)}

    folder = workspace.place(inputs)
    folder.mkdir(parents=True)
    (folder / runner.RESULT).write_text(json.dumps({"value": {"value": 9}}))
    assert workspace.once(inputs, compute) == {"value": 1}
    assert workspace.once(inputs, compute) == {"value": 1}
    kept = json.loads((folder / runner.RESULT).read_text())
    kept["inputs"]["networks"] = ["1", "3"]
    (folder / runner.RESULT).write_text(json.dumps(kept))
    assert workspace.once(inputs, compute) == {"value": 2}
    assert workspace.place(inputs) != workspace.place({**inputs, "world": "abd"})


def test_a_failed_attempt_leaves_no_result(workspace):
    with pytest.raises(ZeroDivisionError):
        workspace.once({"a": 1}, lambda: 1 / 0)
    assert workspace.once({"a": 1}, lambda: 5) == 5


def test_a_line_of_another_recipe_is_not_published(workspace, toy, tmp_path):
    list(workspace.run(toy))
    file = tmp_path / "book" / "epochs.jsonl"
    assert len(workspace.publish(toy, file)) == 2
    assert [run["levels"]["epochs"] for run in Runs.read(file).records] == ["one", "two"]
    changed = replace(toy, factors={"epochs": {"one": {"epochs": 1}, "two": {"epochs": 3}}})
    with pytest.raises(ValueError, match=r"1 results that are not here: epochs=two seed=0"):
        workspace.publish(changed, file)
    assert len(Runs.read(file)) == 2
    assert len(workspace.publish(changed, tmp_path / "book" / "other.jsonl")) == 1
    with pytest.raises(ValueError, match=r"holds nothing of toy\.none: first .* experiment run"):
        workspace.publish(replace(toy, name="toy.none"), file)
    line = Runs.read(file).records[0]
    assert made_by(line, toy.cells()["one"].recipe)
    assert not made_by(line, toy.cells()["two"].recipe)


def test_only_runs_of_the_whole_design_and_judged_alike_are_published(workspace, toy, tmp_path):
    (_, two), file = workspace.run(toy), tmp_path / "book" / "epochs.jsonl"
    assert len(workspace.runs(toy)) == 2
    stepped = replace(toy, after=(counted([]),))
    assert len(workspace.runs(stepped)) == 0, "a step after the training is missing"
    written = two.read_text()
    for start, count in (("0" * 64, 1), (None, 2)):
        run = json.loads(written)
        run["experiment"]["weights_sha256"] = start
        two.write_text(json.dumps(run))
        assert len(workspace.runs(toy)) == count, "other start weights; those of older runs"
    two.write_text(written.replace(run["data"]["fingerprint"], "0" * 64))
    with pytest.raises(ValueError, match="not judged alike: fingerprint of the images: 0000"):
        workspace.publish(toy, file)
    assert not file.exists()


def test_runs_made_elsewhere_are_not_made_again(workspace, toy, people, tmp_path, trained):
    file, calls = tmp_path / "unfinished.jsonl", []
    list(workspace.run(toy, only=["one"]))
    workspace.publish(toy, file)
    here = Workspace("smoke", people, tmp_path / "others")
    (two,) = here.run(toy, made=file)
    assert [folder.is_relative_to(here.folder) for folder in trained] == [False, True]
    assert here.runs(toy).records == (*Runs.read(file).records, json.loads(two.read_text()))
    assert len(here.runs(toy)) == len(here.publish(toy, file)) == 2
    other = World(seed=6, identities=8, cameras=2, images_per_camera=2, resolution=(32, 16))
    root = write_dataset("market1501", tmp_path / "q", other)
    list(Workspace("smoke", root, tmp_path / "data").run(toy, made=file))
    assert len(trained) == 4, "those are of other data"
    file.write_text(file.read_text().replace('"weights_sha256": null', '"weights_sha256": "0"'))
    list(Workspace("smoke", people, tmp_path / "start").run(toy, made=file))
    assert len(trained) == 6, "those began with other weights"
    list(here.run(replace(toy, after=(counted(calls),)), only=["two"], made=file))
    assert len(calls) == 1, "a step that they lack is made, for the cell that is asked for"


def test_a_table_of_rows(tables, tmp_path):
    def rows(given):
        yield given.header(settings={"k": 1})
        yield {"k": 1, "mAP": 0.5}

    table = Experiment(name="toy.rows", question="?", rows=rows)
    (path,) = tables.run(table)
    assert path.name == "rows.jsonl"
    found = tables.publish(table, tmp_path / "rows.jsonl")
    assert (found.header["settings"], found.header["profile"]) == ({"k": 1}, "smoke")
    assert Runs.read(tmp_path / "rows.jsonl").rows()["mAP"].tolist() == [0.5]


def test_a_table_names_the_code_that_made_its_rows(tables, tmp_path, monkeypatch):
    def table(number, **facts):
        def rows(given):
            yield given.header(**facts)
            yield {"k": given.once({"number": number}, lambda: number), "unknown": float("nan")}

        return Experiment(name="toy.rows", question="?", rows=rows)

    commits = iter("abcd")
    monkeypatch.setattr(runner, "git_commit", lambda: (next(commits), False))
    for asked, made in (
        (table(1), "a"), (table(1), "a"), (table(2), "c"), (table(2, settings=3), "d"),
    ):  # fmt: skip
        (path,) = tables.run(asked)
        assert Runs.read(path).header["commit"] == made


def test_a_table_of_records_is_written_again(workspace, tables, toy):
    line = json.loads(next(workspace.run(toy)).read_text())

    def table(rank1):
        run = {**line, "metrics": {**line["metrics"], "rank1": rank1}}
        return Experiment(name="toy.rows", question="?", rows=lambda given: [run])

    for rank1 in (0.25, 0.75):
        (path,) = tables.run(table(rank1))
        assert Runs.read(path).values("rank1") == [100 * rank1]


def test_what_cannot_be_run_is_said_before_anything_is(tables):
    table = Experiment(name="toy.rows", question="?", rows=lambda given: pytest.fail("computed"))
    with pytest.raises(ValueError, match="no 'one'; it has no cells, its result is a table"):
        list(tables.run(table, ["one"]))
    with pytest.raises(ValueError, match=r"toy\.kept is not made by a run: How far"):
        list(tables.run(Experiment(name="toy.kept", question="How far?", factors={"a": {}})))


def test_rows_are_not_lost_and_other_data_is_said(tables, tmp_path, capsys):
    def table(count, data):
        def rows(given):
            yield given.header(data=data)
            yield from ({"k": number} for number in range(count))

        return Experiment(name="toy.rows", question="?", rows=rows)

    file = tmp_path / "rows.jsonl"
    for count, data, said in ((2, "a", ""), (3, "a", ""), (3, "b", "were of other data: a")):
        list(tables.run(table(count, data)))
        tables.publish(table(count, data), file)
        assert capsys.readouterr().out.count("were of other data: a") == 2 * bool(said)
    list(tables.run(table(1, "b")))
    with pytest.raises(ValueError, match=r"holds 1 results .*: 3 rows, here are 1\. Run them"):
        tables.publish(table(1, "b"), file)
    assert len(Runs.read(file)) == 3


def test_a_run_that_takes_the_place_of_another_is_named(workspace, toy, tmp_path, capsys):
    (one, _), file = workspace.run(toy), tmp_path / "book" / "epochs.jsonl"
    workspace.publish(toy, file)
    workspace.publish(toy, file)
    assert capsys.readouterr().out.count("another run") == 0
    fingerprint = json.loads(one.read_text())["data"]["fingerprint"]
    for path in (one, file):  # as if made from other data
        path.write_text(path.read_text().replace(fingerprint, "0" * 64))
    list(workspace.run(toy))
    workspace.publish(toy, file)
    said = [line for line in capsys.readouterr().out.splitlines() if "another run" in line]
    assert said[0].startswith(f"{one}: another run is listed now (data.fingerprint is '000")
    assert said[1].startswith(f"{file}: seed 0 is another run now: data.fingerprint is '000")


def test_two_processes_make_one_result(tmp_path):
    code = """
import sys, time
from pathlib import Path
from reidlab.experiments.runner import Workspace
def compute():
    with open(sys.argv[1], "a") as file:
        file.write("made ")
    time.sleep(1.0)
    return 7
assert Workspace("smoke", folder=Path(sys.argv[2])).once({"x": 1}, compute) == 7
"""
    given = [sys.executable, "-c", code, str(tmp_path / "made"), str(tmp_path / "runs")]
    both = [subprocess.Popen(given, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert (tmp_path / "made").read_text() == "made "


def test_a_killed_process_leaves_no_lock(tmp_path):
    code = """
import sys, time
from pathlib import Path
from reidlab.files import alone
with alone(Path(sys.argv[1])):
    print("in", flush=True)
    time.sleep(60)
"""
    given = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(given, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "in\n"
        process.kill()
    began = time.monotonic()
    assert Workspace("smoke", folder=tmp_path).once({}, lambda: 1) == 1
    assert time.monotonic() - began < 5


def test_results_lie_in_the_project_wherever_one_stands(tmp_path, monkeypatch):
    (tmp_path / "_toc.yml").touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert Workspace().folder == tmp_path / "runs/experiments"


def test_real_data_have_to_be_named(tmp_path):
    with pytest.raises(ValueError, match="about pku-reid: --data-root FOLDER says where"):
        Workspace("laptop", folder=tmp_path).open("pku-reid")


def test_what_a_training_starts_from():
    synth = recipes.get("vit_baseline", "laptop")
    assert start_weights(synth) == sha256(shipped_weights()) == synth.weights_sha256
    assert start_weights(synth.replace(weights=None)) is None
    assert start_weights(recipes.get("vit_baseline", "paper")).startswith("timm vit_base_patch16")


# --- sweeps ---------------------------------------------------------------------------------------


def test_a_sweep_is_an_experiment():
    found = sweep("vit_baseline", "smoke", "market1501", 2, "lr=1e-4,3e-4 depth=1")
    assert list(found.cells("smoke")) == ["lr=1e-4_depth=1", "lr=3e-4_depth=1"]
    recipe = found.cells("smoke")["lr=3e-4_depth=1"].recipe
    assert recipe == recipes.get("vit_baseline", "smoke").replace(lr=3e-4, depth=1)
    folds = sweep("vit_baseline", "smoke", "pku-reid", 1, "data.fold=1,2 data.folds=2")
    assert [cell.options for cell in folds.cells("smoke").values()] == [
        {"fold": 1, "folds": 2}, {"fold": 2, "folds": 2}
    ]  # fmt: skip
    plain = sweep("la_tf_pp", "laptop", "market1501")
    assert {name: cell.recipe for name, cell in plain.cells().items()} == {
        "recipe": recipes.get("la_tf_pp")
    }
    folder = project_root() / "runs/experiments/la_tf_pp.sweep/laptop-market1501/recipe"
    assert list(Workspace().files(plain)) == [folder / f"seed{k}.json" for k in range(3)]


def test_settings_of_a_sweep_that_work_together_alone():
    found = sweep("vit_baseline", "smoke", "market1501", 1, "keep=best validate_every=1,2")
    assert [cell.recipe.keep for cell in found.cells("smoke").values()] == ["best", "best"]


@pytest.mark.parametrize("paper", recipes.names())
def test_the_recipe_of_every_paper_can_be_swept(paper):
    assert len(sweep(paper, "smoke", "market1501", 1, "lr=1e-4,3e-4").cells("smoke")) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"paper": "nobody"}, "paper=nobody: there is no recipe of this name.*vit_baseline"),
        ({"seeds": 0}, "seeds=0: expected how many"),
        ({"seeds": "many"}, "seeds=many: expected how many, a whole number from 1"),
        ({"seeds": 2.5}, r"seeds=2\.5"),
        ({"seeds": -1}, "seeds=-1"),
        ({"changes": "lr"}, "cannot read 'lr'"),
        ({"changes": "lr=1 lr=2"}, "each setting once"),
        ({"changes": "lr="}, "cannot read 'lr='"),
        ({"changes": "weights=../x.pth"}, "without brackets or slashes"),
        ({"changes": "image_size=[64,32]"}, "without brackets or slashes"),
        ({"changes": "learning=1"}, "set=learning=1: a recipe has no setting 'learning'"),
        ({"changes": "epochs=1,0.5"}, r"set=epochs=1,0\.5: recipe: epochs is 0\.5"),
        ({"changes": "keep=last,best"}, "set=keep=last,best: recipe: keep is 'best'"),
        ({"changes": "lr=1e-4,1e-3 model=vit_baseline,vit_basline"}, "no model 'vit_basline'"),
        ({"changes": "backbone=vit_tiny_patch16_224,vit_tiny_patch61"}, "vit_tiny_patch61"),
    ],
)
def test_what_cannot_be_swept(change, message):
    given = {"paper": "vit_baseline", "profile": "smoke", "data": "market1501", "seeds": 3}
    with pytest.raises(ValueError, match=message):
        sweep(**{**given, **change})


def test_what_an_experiment_does_not_read_is_refused_before_anything_is_made(workspace, toy):
    for asked in (
        replace(toy, data="plaza"),
        design("la_transformer.knobs"),
        design("arenas.alike"),
    ):
        with pytest.raises(ValueError, match=r"synthetic sets .* not on .*people.*--data-root out"):
            next(workspace.run(asked))
    for name in ("arenas.towns", "la_tf_pp.ranking", "vit_baseline.untrained"):
        with pytest.raises(DatasetError, match="pku-reid"):  # it opens that folder
            next(workspace.run(design(name)))
    given = replace(workspace, options={"stert": "a"})
    with pytest.raises(ValueError, match=r"toy\.epochs reads no option 'stert', expected none"):
        next(given.run(toy))
    with pytest.raises(ValueError, match="ablation reads no option 'stert', expected start"):
        next(given.run(design("pretraining.ablation")))


# --- the command line -----------------------------------------------------------------------------


def run(*arguments):
    return CliRunner().invoke(app, ["experiment", *map(str, arguments)])


def test_list_and_show():
    assert "la_transformer.table2 (36 published)" in run("list").output
    shown = run("show", "la_transformer.corners_pku-folds").output
    assert "heads: one, rows" in shown
    assert "of 36 results" in shown
    assert "there is no experiment 'a.b'" in run("show", "a.b").stderr


def test_a_design_takes_no_settings_and_no_other_data():
    for command in (["run", "--only", "nothing"], ["show"]):
        for given in (("--set", "epochs=1"), ("--dataset", "msmt17")):
            refused = run(*command, "la_transformer.table2", *given)
            assert refused.exit_code == 1
            assert "table2 has data and settings of its own: leave --dataset" in refused.stderr


def test_how_many_seeds():
    refused = run("run", "la_transformer.table2", "--seeds", 0)
    assert refused.exit_code == 2
    assert "--seeds" in refused.stderr


def test_a_table_counts_its_rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = tmp_path / "runs/experiments/gltrans.maps/laptop-all/rows.jsonl"
    rows.parent.mkdir(parents=True)
    rows.write_text('{"map": 1}\n{"map": 2}\n')
    assert "2 of 2 results in" in run("show", "gltrans.maps").output


def test_run_show_and_publish(people, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ("vit_baseline", "--profile", "smoke", "--seeds", 1, "--set", "depth=1 epochs=1,2")
    done = run("run", *given, "--data-root", people, "--only", "depth=1_epochs=1")
    assert done.exit_code == 0, done.output
    assert done.output.split()[-1].endswith("smoke-market1501/depth=1_epochs=1/seed0.json")
    shown = run("show", *given)
    assert f"1 of 2 results in {tmp_path / 'runs/experiments'}" in shown.output
    table = tmp_path / "runs/experiments/vit_baseline.sweep/smoke-market1501/summary.csv"
    assert table.read_text().startswith("depth,epochs,metric,runs,mean,spread,low,high\n")
    assert run("run", *given, "--only", "nothing").exit_code == 1
    assert "first python -m reidlab experiment run" in run("publish", "la_tf_pp.ranking").stderr


@pytest.fixture
def book(people, toy, tmp_path, monkeypatch):
    """Results of `toy` are published below a folder, from runs on these people made there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("reidlab.experiments.project_root", lambda: tmp_path)
    monkeypatch.setattr("reidlab.experiments.design", lambda name: toy)
    return tmp_path / "book/results"


def test_what_is_not_whole_waits_for_the_rest(book, people, toy):
    given = (toy.name, "--profile", "smoke")
    for only, told in (["one"], "1 of 2 results"), ([], "2 of 2 results"):
        options = [part for cell in only for part in ("--only", cell)]
        assert run("run", *given, "--data-root", people, *options).exit_code == 0
        assert told in run("publish", *given).output
        shutil.rmtree("runs")
        waits, whole = (book / name / "toy/epochs.jsonl" for name in ("unfinished", ""))
        assert (waits.is_file(), whole.is_file()) == (bool(only), not only)
    assert len(Runs.read(whole)) == 2


def test_seeds_that_wait_for_others_are_not_lost(book, people):
    given, waits = ("toy.epochs", "--profile", "smoke"), book / "unfinished/toy/epochs.jsonl"
    assert run("run", *given, "--data-root", people, "--seeds", 2, "--only", "one").exit_code == 0
    assert "2 of 4 results" in run("publish", *given, "--seeds", 2).output
    assert run("run", *given, "--data-root", people, "--seeds", 1).exit_code == 0
    assert "2 of 2 results" in run("publish", *given, "--seeds", 1).output
    assert [each["seed"] for each in Runs.read(waits).records] == [0, 1]
    assert run("run", *given, "--data-root", people, "--seeds", 2).exit_code == 0
    assert "4 of 4 results" in run("publish", *given, "--seeds", 2).output
    assert not waits.exists()


def test_results_of_another_profile_stay(book, people):
    given, file = ("toy.epochs", "--profile", "smoke"), book / "toy/epochs.jsonl"
    assert run("run", *given, "--data-root", people).exit_code == 0
    assert run("publish", *given).exit_code == 0
    before = file.read_text().replace('"profile": "smoke"', '"profile": "laptop"')
    file.write_text(before)
    refused = run("publish", *given)
    assert "holds results of the profile laptop, here are those of smoke: delete" in refused.stderr
    assert file.read_text() == before


def test_a_paper_is_not_published(book):
    refused = run("publish", "vit_baseline")
    assert refused.exit_code == 1
    assert "'vit_baseline' is no experiment of the book: expected PAPER.EXPER" in refused.stderr
