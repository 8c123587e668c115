"""Vectors of cameras, viewpoints, or both: which one an image gets, and what cannot work."""

import dataclasses
import json
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from reidlab import recipes
from reidlab.cli import app
from reidlab.data import open_dataset
from reidlab.errors import RecipeError
from reidlab.judging import classify, embed, sides_of, with_rows
from reidlab.models import create_model
from reidlab.training import Recipe, build_model, evaluate_run, fit, load_run

K, V = 2, 3
SIDES = {"camera": K, "view": (0, V), "both": (K, V)}


def write_veri(root, *, views=True, cameras=(1, 2)):
    """VeRi-776's layout by hand: 4 vehicles to learn, 2 others to find, each in each camera."""
    rng = np.random.default_rng(0)
    keypoints = {"train": [], "test": []}
    names = {"train": [], "test": [], "query": []}
    for vehicle in range(1, 7):
        part = "train" if vehicle <= 4 else "test"
        for camera in cameras:
            for shot in range(2):
                name = f"{vehicle:04d}_c{camera:03d}_{shot:08d}_0.jpg"
                names[part].append(name)
                if part == "test" and shot == 0:
                    names["query"].append(name)
                view = (vehicle + camera + shot) % V
                keypoints[part].append(f"image_{part}/{name} {'-1 ' * 40}{view}")
    for part, listed in names.items():
        (root / f"image_{part}").mkdir(parents=True)
        (root / f"name_{part}.txt").write_text("\n".join(listed) + "\n")
        for name in listed:
            pixels = rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(root / f"image_{part}" / name)
    for part, lines in keypoints.items():
        if views:
            (root / f"keypoint_{part}.txt").write_text("\n".join(lines) + "\n")
    return root


def opened(root, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is not the published VeRi-776
        return open_dataset("veri776", root, **options)


@pytest.fixture(scope="module")
def veri(tmp_path_factory):
    return opened(write_veri(tmp_path_factory.mktemp("veri")))


@pytest.fixture
def judging():
    return Recipe(image_size=(32, 32), weights=None, workers=0, embed_batch_size=3)


def tiny(num_cameras, seed=0):
    torch.manual_seed(seed)
    return create_model(
        "vit_baseline", num_classes=4, image_size=(32, 32), depth=1, weights=None,
        num_cameras=num_cameras,
    ).eval()  # fmt: skip


def by_loop(frame, side):
    table = [(camera, view) for camera in range(K) for view in range(V)]
    rows = []
    for camera, view in zip(frame["camid"], frame["view"], strict=True):
        rows.append({"camera": camera, "view": view, "both": table.index((camera, view))}[side])
    return rows


@pytest.mark.parametrize("side", SIDES)
def test_the_row_of_an_image(side, veri):
    model = tiny(SIDES[side])
    assert len(model.backbone.sie_embed) == {"camera": 2, "view": 3, "both": 6}[side]
    expected = by_loop(veri.train, side)
    before = veri.train.copy()
    found = with_rows(model, veri.train)
    assert found["camid"].tolist() == expected
    assert found.drop(columns="camid").equals(before.drop(columns="camid"))
    assert veri.train.equals(before)
    assert (veri.num_cameras, veri.num_views) == (K, V)


def test_without_a_table_nothing_is_asked():
    frame = pd.DataFrame({"path": ["a.jpg"], "camid": [-7]})
    for model in (tiny(0), torch.nn.Linear(1, 1)):
        assert sides_of(model) == (0, 0)
        assert with_rows(model, frame) is frame


@pytest.mark.parametrize("side", ["view", "both"])
def test_an_embedding_is_that_of_a_table_filled_by_hand(side, veri, judging):
    """A plain camera table of the same vectors, whose cameras are the rows found by the loop."""
    model = tiny(SIDES[side])
    plain = tiny(len(model.backbone.sie_embed), seed=1)
    plain.load_state_dict(model.state_dict())
    frame = veri.train
    renamed = frame.assign(camid=by_loop(frame, side))
    expected = embed(plain, renamed, judging)
    torch.testing.assert_close(embed(model, frame, judging), expected, rtol=0, atol=0)
    assert classify(model, frame, judging) == classify(plain, renamed, judging)
    other = frame.assign(view=(frame["view"] + 1) % V)
    assert not torch.allclose(embed(model, other, judging), expected)


@pytest.mark.parametrize("side", SIDES)
def test_the_mean_of_the_table(side, veri, judging):
    model, same = tiny(SIDES[side]), tiny(SIDES[side])
    with torch.no_grad():
        same.backbone.sie_embed[:] = sum(model.backbone.sie_embed) / len(model.backbone.sie_embed)
    model.backbone.forget_cameras()
    beyond = veri.train.assign(camid=99, view=-1)
    found = embed(model, beyond, judging)
    torch.testing.assert_close(found, embed(same, veri.train, judging))


@pytest.mark.parametrize(
    ("side", "column", "value", "message"),
    [
        ("camera", "camid", 2, r"cameras 0 to 1 and veri has camera 2 \(1 images, such as 0001_c"),
        ("both", "camid", -1, "cameras 0 to 1 and veri has camera -1"),
        ("view", "view", 3, r"viewpoints 0 to 2 and veri has viewpoint 3 .*forget_cameras\(\)"),
        ("both", "view", -1, r"has no viewpoint \(view -1\) of 1 images, such as .*views='known'"),
    ],
)
def test_an_image_without_a_row(side, column, value, message, veri, judging):
    frame = veri.train.copy()
    frame.loc[0, column] = value
    with pytest.raises(RecipeError, match=message):
        with_rows(tiny(SIDES[side]), frame, "veri")
    with pytest.raises(RecipeError, match=f"the table has .*{value}"):
        embed(tiny(SIDES[side]), frame, judging)


def test_no_column_of_viewpoints(veri):
    with pytest.raises(RecipeError, match=f"no viewpoint .* of {len(veri.train)} images"):
        with_rows(tiny((0, V)), veri.train.drop(columns="view"))


# ------------------------------------------------------------------ a training


def small(paper, camera_embedding):
    return recipes.get(paper, "paper", of="vehicles").replace(
        backbone="vit_tiny_patch16_224", weights=None, depth=3, image_size=(40, 40),
        precision="no", epochs=1, warmup_epochs=0, identities_per_batch=2, images_per_identity=2,
        workers=0, embed_batch_size=8, camera_embedding=camera_embedding,
        **({"switches.shift": 5} if paper == "transreid" else {}),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("paper", "camera_embedding", "table"),
    [
        ("gltrans", True, K), ("gltrans", "view", [0, V]), ("gltrans", "both", [K, V]),
        ("transreid", True, K), ("transreid", "view", [0, V]), ("transreid", "both", [K, V]),
    ],
)  # fmt: skip
def test_a_training_on_vehicles(paper, camera_embedding, table, veri, tmp_path):
    recipe = small(paper, camera_embedding)
    model = build_model(recipe, veri)
    before = model.backbone.sie_embed.detach().clone()
    record = fit(model, veri, recipe, out=tmp_path)
    assert not torch.equal(before, model.backbone.sie_embed)
    written = json.loads((tmp_path / "record.json").read_text())["experiment"]
    assert (written["camera_embedding"], written["num_cameras"]) == (camera_embedding, table)
    assert Recipe.from_record(written) == recipe
    loaded, _ = load_run(tmp_path)
    assert sides_of(loaded) == sides_of(model)
    assert evaluate_run(tmp_path, veri).mAP == record.metrics["mAP"]


def test_the_recipes_of_vehicles():
    asked = {p: recipes.get(p, "paper", of="vehicles").camera_embedding for p in recipes.names()
             if p in ("gltrans", "transreid", "pcb", "vit_baseline")}  # fmt: skip
    assert asked == {"gltrans": True, "pcb": True, "transreid": "both", "vit_baseline": False}


def test_what_cannot_work_is_said_before_training(veri, tmp_path):
    both, camera = small("transreid", "both"), small("transreid", True)
    model = build_model(both, veri)
    with pytest.raises(RecipeError, match=r"is True and the model tells 2 cameras and 3 viewpoin"):
        fit(model, veri, camera, out=tmp_path)
    alone = dataclasses.replace(veri, train=veri.train.assign(camid=0))
    with pytest.raises(RecipeError, match="all 16 training images of veri776 are of one camera"):
        fit(build_model(camera, alone), alone, camera, out=tmp_path)
    blind = dataclasses.replace(veri, gallery=veri.gallery.assign(view=-1))
    with pytest.raises(RecipeError, match=r"veri776 has no viewpoint .* of 8 images, such as 0005"):
        fit(model, blind, both, out=tmp_path)
    elsewhere = dataclasses.replace(veri, query=veri.query.assign(camid=2))
    unseen = build_model(camera, elsewhere)
    with pytest.warns(UserWarning, match=r"4 images of veri776 .* \(rows 2 of .*mean_camera=True"):
        fit(unseen, elsewhere, camera, out=tmp_path)


def test_by_command_and_with_other_cameras(tmp_path):
    root, out = write_veri(tmp_path / "veri"), tmp_path / "run"
    run = CliRunner().invoke
    trained = run(
        app,
        [
            "train", "--paper", "transreid", "--profile", "smoke", "--of", "vehicles",
            "--dataset", "veri776", "--root", str(root), "--out", str(out),
            "--set", "camera_embedding=both", "--set", "image_size=48x48",
            "--set", "identities_per_batch=2", "--set", "images_per_identity=2",
        ],
    )  # fmt: skip
    assert trained.exit_code == 0, trained.output
    other = write_veri(tmp_path / "other", views=False, cameras=(7, 9))
    refused = run(app, ["evaluate", str(out), "veri776", str(other)])
    assert refused.exit_code == 1
    assert "cameras 0 to 1 and veri776 has camera 6" in refused.output
    assert "mean_camera=True" in refused.output
    judged = run(app, ["evaluate", str(out), "veri776", str(other), "--mean-camera"])
    assert judged.exit_code == 0, judged.output


def test_a_set_of_another_name_has_other_cameras(veri, tmp_path):
    recipe = small("gltrans", True)
    fit(build_model(recipe, veri), veri, recipe, out=tmp_path)
    other = dataclasses.replace(veri, name="others")
    with pytest.warns(UserWarning, match="the cameras of veri776, and those of others are others"):
        evaluate_run(tmp_path, other)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        evaluate_run(tmp_path, other, mean_camera=True)


def test_images_without_a_viewpoint_are_left_out(tmp_path):
    root = write_veri(tmp_path / "veri")
    lines = (root / "keypoint_train.txt").read_text().splitlines()
    (root / "keypoint_train.txt").write_text("\n".join(lines[1:]) + "\n")
    whole, known = opened(root), opened(root, views="known")
    assert (whole.train["view"] == -1).sum() == 1
    assert whole.options == {}
    assert known.options == {"views": "known"}
    assert [path[-24:] for path in known.train["path"]] == [
        line.split()[0][-24:] for line in lines[1:]
    ]
    assert any("1 images of train without a viewpoint" in note for note in known.notes)
    assert len(known.gallery) == len(whole.gallery)
