"""The designs of GLTrans, and class tokens of all layers against shorter networks."""

import pytest
import torch
from torch.nn.functional import normalize

from reidlab.evaluation import rank
from reidlab.experiments import Runs, design
from reidlab.experiments.gltrans import ClassTokens, by_layer_after
from reidlab.experiments.runner import Workspace
from reidlab.judging import embed
from reidlab.models import create_backbone


def test_each_layer_is_the_class_token_of_a_network_that_ends_there():
    torch.manual_seed(0)
    options = {"image_size": (64, 32), "weights": None}
    whole = create_backbone("vit_tiny_patch16_224", depth=3, **options).eval()
    images = torch.randn(2, 3, 64, 32)
    with torch.inference_mode():
        found = ClassTokens(whole).embed(images).unflatten(1, (3, -1))
        for depth in (1, 2, 3):
            short = create_backbone("vit_tiny_patch16_224", depth=depth, **options).eval()
            weights = {k: v for k, v in whole.state_dict().items() if k in short.state_dict()}
            short.load_state_dict(weights)
            torch.testing.assert_close(found[:, depth - 1], short(images).cls)


# layers, GAE, LMF; PTF, GMA, PTL, bands of the networks that are GLTrans
SETTINGS = {
    "vit": (1, False, False, True, True, True, 3),
    "tokens": (3, False, False, True, True, True, 3),
    "gae": (3, True, False, True, True, True, 3),
    "lmf": (3, False, True, True, True, True, 3),
    "all": (3, True, True, True, True, True, 3),
    "no-ptf": (3, True, True, False, True, True, 3),
    "no-gma": (3, True, True, True, False, True, 3),
    "no-ptl": (3, True, True, True, True, False, 3),
    **{f"layers-{n}": (n, True, True, True, True, True, 3) for n in (1, 2, 4)},
    **{f"bands-{n}": (3, True, True, True, True, True, n) for n in (1, 2, 4)},
}
NAMES = ("layers", "gae", "lmf", "ptf", "gma", "ptl", "bands")


def test_what_the_networks_differ_in():
    cells = design("gltrans.networks_alike").cells() | design("gltrans.parts_alike").cells()
    defaults = dict(zip(NAMES, SETTINGS["all"], strict=True))
    found, rest = {}, set()
    for name, cell in cells.items():
        settings = cell.recipe.to_dict()
        if settings["model"] == "gltrans":
            switches = defaults | settings.pop("switches")
            found[name] = tuple(switches[key] for key in NAMES)
            rest.add(str(settings))
    assert found == SETTINGS
    assert len(rest) == 1, "nothing else differs"
    other = {name: cells[name].recipe for name in ("transreid", "pcb")}
    assert {name: recipe.model for name, recipe in other.items()} == {k: k for k in other}
    assert {recipe.camera_embedding for recipe in other.values()} == {False}
    assert {loss.name for loss in other["pcb"].losses} == {"identity"}
    same = ("lr", "epochs", "weights", "image_size", "stride", "sampler")
    for recipe in other.values():
        assert {k: getattr(recipe, k) for k in same} == {
            k: getattr(cells["all"].recipe, k) for k in same
        }


@pytest.mark.parametrize("network", ["vit", "pcb"])
def test_a_run_keeps_what_each_layer_finds(tmp_path, network):
    workspace = Workspace("smoke", folder=tmp_path)
    asked = design("gltrans.networks_alike")
    cell = asked.cells("smoke")[network]
    line = workspace.line(asked, cell, 0)
    found = line["after"]["by_layer"]
    if network == "pcb":
        assert found == {}
        return
    run = workspace.trained(asked, cell, 0)
    depth = run.recipe.depth
    assert [*found] == [*map(str, range(1, depth + 1)), "last 2", "last 3", "last 4"]
    assert found[str(depth)] == pytest.approx(line["metrics"]["mAP"], abs=1e-6)
    frames = [run.ds.query, run.ds.gallery]
    q, g = (embed(ClassTokens(run.model.backbone), frame, run.recipe) for frame in frames)
    width = q.shape[1] // depth
    q, g = (normalize(each[:, -2 * width :]) for each in (q, g))
    who = [frame[column] for column in ("pid", "camid") for frame in frames]
    assert found["last 2"] == pytest.approx(rank(1 - q @ g.T, *who).mAP, abs=1e-6)


def test_layers_after_a_training_are_means_over_the_seeds():
    levels = [("vit", 0.1, 0.3), ("vit", 0.2, 0.5), ("all", 0.4, 0.6)]
    records = tuple(
        {"levels": {"network": name}, "after": {"by_layer": {"1": one, "2": two, "last 2": 0.9}}}
        for name, one, two in levels
    )
    table = by_layer_after(Runs("gltrans.networks", records), ("all", "vit"))
    assert table["name"].tolist() == ["GLTrans", "GLTrans", "ViT", "ViT"]
    assert table["layer"].tolist() == [1, 2, 1, 2]
    assert table["value"].tolist() == [pytest.approx(x) for x in (40, 60, 15, 40)]
