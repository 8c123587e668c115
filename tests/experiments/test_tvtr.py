"""The designs of TVTR: what their networks differ in, and how much of a person patches show."""

import dataclasses

import pytest
import torch

from reidlab.experiments import design, experiment
from reidlab.experiments import tvtr as clutter
from reidlab.experiments.course import course_world
from reidlab.experiments.runner import Workspace
from reidlab.experiments.tvtr import head_votes, shown_person
from reidlab.explain import head_attention
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


def test_the_residual_path_stays_in_the_product():
    torch.manual_seed(1)
    options = {"image_size": (64, 32), "weights": None, "depth": 4, "switches": {"k": 2}}
    model = create_model("tvtr", num_classes=3, **options).eval()
    images, masks = torch.randn(2, 3, 64, 32), torch.randint(0, 8, (2, 64, 32))
    found = shown_person(model, images, masks, 2)["residual"]
    attention = head_attention(model, images, layers=(1, 2, 3))  # layer, image, head, 9, 9
    for i in range(2):
        shown = []
        for head in range(3):
            row = torch.eye(9)[0]
            for layer in (2, 1, 0):
                row = (row @ attention[layer, i, head] + row) / 2
            for n in row[1:].topk(2).indices.tolist():
                patch = masks[i, 16 * (n // 2) :, 16 * (n % 2) :][:16, :16]
                shown.append(((patch >= 1) & (patch <= 6)).float().mean().item())
        assert found[i] == pytest.approx(sum(shown) / len(shown), abs=1e-4)


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
        assert len(values["pid"]) == len(values["chained"]) == len(values["residual"])
        assert all(0 <= share <= 1 for share in values["chained"])
    assert {*line["after"]["patches"]} == {"visible", "infrared"}


def test_grounds_differ_in_one_knob_and_show_the_same_people():
    for name, ground in clutter.GROUNDS.items():
        knob, _, value = name.partition("=")
        own = getattr(course_world("laptop", "day-night"), knob)
        assert ground.knobs == ({} if float(value) == own else {knob: float(value)})
        trained = course_world("laptop", ground.data)
        back = dataclasses.replace(trained, clutter=course_world("laptop", "day-night").clutter)
        assert back == course_world("laptop", "day-night")
        assert trained.clutter == ground.knobs.get("clutter", own if knob == "clutter" else 1.0)
    for _, larger, smaller in clutter.CONTRASTS:
        assert {larger, smaller} <= {*clutter.GROUNDS}
        assert larger.partition("=")[0] == smaller.partition("=")[0]


def test_the_predictions_are_those_that_were_made_before_the_first_run():
    assert [p[1:] for p in design("tvtr.clutter").predictions] == [
        ("clutter=1.3", "clutter=0"), ("jitter=3", "jitter=0"),
        ("chained", "area"), ("chained", "last"),
    ]  # fmt: skip


def test_a_prediction_is_a_gain_here_minus_a_gain_there():
    gains = {"clutter=0": 0.1, "clutter=1.3": 0.3, "jitter=0": 0.2, "jitter=3": 0.2}

    def runs(ap, shares):
        people = {"ap": [2 * ap, 2 * ap + 0.2], "queries": [2, 2]}
        patches = {light: {w: [s, s + 0.1] for w, s in shares.items()} for light in "ab"}
        return [{"people": people, "patches": patches}] * 2

    shares = {"area": 0.2, "last": 0.5, "chained": 0.4}
    found = {
        ground: {"joined": runs(0.3, {}), "tvts": runs(0.3 + gain, shares)}
        for ground, gain in gains.items()
    }
    rows = clutter.judge_predictions(found)
    assert [row["points"] for row in rows] == pytest.approx([20, 0, 20, -10])
    texts = [row["prediction"] for row in rows]
    assert texts == [p[0] for p in design("tvtr.clutter").predictions]


def test_a_network_is_judged_on_new_people_with_a_knob_turned(tmp_path):
    workspace = Workspace("smoke", folder=tmp_path)
    found = clutter.measure(workspace, "jitter=3", "tvts", 0)
    assert len(found["people"]["pid"]) == 20
    assert {*found["patches"]} == {"visible", "infrared"}
    for ways in found["patches"].values():
        assert {*ways} == {*clutter.WAYS, "area"}
        assert all(len(shares) == 20 for shares in ways.values())
    assert clutter.measure(workspace, "jitter=3", "tvts", 0) == found, "once"


def test_what_patches_show_more_is_a_mean_over_seeds_people_and_lights():
    def run(seed):
        sides = {"visible": [0.9, 0.5, 0.4], "infrared": [0.3, 0.6, 0.8 + seed / 10]}
        return {
            "patches": {
                light: {"chained": shares, "area": [0.2, 0.3, 0.4], "last": [0.5, 0.1, 0.2]}
                for light, shares in sides.items()
            }
        }

    runs, total = [run(seed) for seed in range(3)], 0.0
    for each in runs:
        for light in ("visible", "infrared"):
            shown = each["patches"][light]
            total += sum(a - b for a, b in zip(shown["chained"], shown["area"], strict=True))
    found = clutter.more_shown(runs, "chained")
    assert found.value == pytest.approx(100 * total / (3 * 2 * 3))
    assert found.people == 3
    against = clutter.more_shown(runs, "chained", "last")
    assert against.value == pytest.approx(found.value + 100 * (0.9 / 3 - 0.8 / 3))
    day = clutter.more_shown(runs, "chained", light="visible")
    assert day.value == pytest.approx(100 * (1.8 - 0.9) / 3)


def test_the_levels_are_means_over_the_seeds():
    runs = experiment("tvtr.table2_day-night")
    table = clutter.levels(runs)
    assert table.index.to_list() == ["ViT", "joined feature", "TVTS", "GLC", "TVTR"]
    tvts = [run for run in runs.records if run["levels"]["network"] == "tvts"]
    for column, values in {
        "290 others": [run["after"]["crowd"]["metrics"]["mAP"] for run in tvts],
        "mAP": [run["metrics"]["mAP"] for run in tvts],
        "learned": [run["history"][-1]["accuracy"] for run in tvts],
    }.items():
        assert table.loc["TVTS", column] == pytest.approx(100 * sum(values) / 3), column
