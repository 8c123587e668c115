"""The designs of TVTR: what their networks differ in, and how much of a person patches show."""

import pytest
import torch

from reidlab.experiments import design
from reidlab.experiments.runner import Workspace
from reidlab.experiments.tvtr import head_votes, shown_person
from reidlab.models import create_model

# k, selection, feature, classifier, losses
CIRCLES, BASE = {"global_circle", "pairwise_circle"}, {"identity", "weighted_triplet"}
SETTINGS = {
    "vit": (8, False, "class", "linear", BASE),
    "joined": (8, False, "joined", "linear", BASE),
    "tvts": (8, True, "joined", "linear", BASE),
    "glc": (8, False, "class", "cosine", CIRCLES),
    "all": (8, True, "joined", "cosine", CIRCLES),
    "k-2": (2, True, "joined", "cosine", CIRCLES),
    "k-4": (4, True, "joined", "cosine", CIRCLES),
    "k-12": (12, True, "joined", "cosine", CIRCLES),
    "every": (8, False, "joined", "cosine", CIRCLES),
}
DEFAULTS = {"selection": True, "feature": "joined", "classifier": "cosine"}


def test_what_the_networks_differ_in():
    cells = design("tvtr.table2_day-night").cells() | design("tvtr.k_day-night").cells()
    found, rest = {}, set()
    for name, cell in cells.items():
        settings = cell.recipe.to_dict()
        switches = DEFAULTS | settings.pop("switches")
        losses = {loss.name for loss in cell.recipe.losses}
        found[name] = (*(switches[key] for key in ("k", *DEFAULTS)), losses)
        rest.add(str({k: v for k, v in settings.items() if k != "losses"}))
    assert found == SETTINGS
    assert len(rest) == 1, "nothing else differs"


def test_how_much_of_the_person_patches_show_by_loops():
    torch.manual_seed(0)
    options = {"image_size": (64, 32), "weights": None, "depth": 3, "switches": {"k": 2}}
    model = create_model("tvtr", num_classes=3, **options).eval()
    images, masks = torch.randn(2, 3, 64, 32), torch.randint(0, 8, (2, 64, 32))
    found = shown_person(model, images, masks, 2)
    with torch.inference_mode():
        chosen = model.choose(images).patches
    for i in range(2):
        shown = []
        for n in chosen[i].flatten().tolist():
            top, left = 16 * (n // 2), 16 * (n % 2)
            patch = masks[i, top : top + 16, left : left + 16]
            shown.append(((patch >= 1) & (patch <= 6)).float().mean().item())
        assert found["chained"][i] == pytest.approx(sum(shown) / len(shown), abs=1e-4)
        person = (masks[i] >= 1) & (masks[i] <= 6)
        assert found["area"][i] == pytest.approx(person.float().mean().item(), abs=1e-4)


def test_votes_are_shares_of_the_heads_in_the_pixels_of_a_patch():
    torch.manual_seed(0)
    options = {"image_size": (64, 32), "weights": None, "depth": 2}
    model = create_model("tvtr", num_classes=3, switches={"k": 2}, **options).eval()
    images = torch.randn(2, 3, 64, 32)
    found = head_votes(model, images)
    with torch.inference_mode():
        patches = model.choose(images).patches
    for i in range(2):
        for n in range(8):
            pixels = found[i, 16 * (n // 2) :, 16 * (n % 2) :][:16, :16]
            expected = sum(n in head for head in patches[i].tolist()) / 3
            torch.testing.assert_close(pixels, torch.full((16, 16), expected))
    every = create_model("tvtr", num_classes=3, switches={"selection": False}, **options)
    with pytest.raises(ValueError, match="chooses no patches"):
        head_votes(every, images)


def test_a_run_keeps_a_crowd_and_its_patches(tmp_path):
    workspace = Workspace("smoke", folder=tmp_path)
    asked = design("tvtr.k_day-night")
    line = workspace.line(asked, asked.cells("smoke")["k-2"], 0)
    assert len(line["after"]["crowd"]["people"]["pid"]) == 20
    for values in line["after"]["patches"].values():
        assert len(values["pid"]) == len(values["chained"]) == len(values["last"])
        assert all(0 <= share <= 1 for share in values["chained"])
    assert {*line["after"]["patches"]} == {"visible", "infrared"}
