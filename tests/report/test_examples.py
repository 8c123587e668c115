"""Examples by rule, against loops over the same queries."""

import numpy as np
import pandas as pd
import pytest
import torch

from reidlab.evaluation import RankResult
from reidlab.experiments import experiment
from reidlab.explain import Projection
from reidlab.report import style
from reidlab.report.examples import (
    choice_scores,
    choices_told,
    heat_scores,
    layers_above,
    patches_shown,
    planes_told,
    trusted_layers,
    typical_queries,
)


def result_of(ap):
    ap = np.array(ap)
    valid = ~np.isnan(ap)
    return RankResult(ap, ap, valid.astype(int), valid, "standard", "full", "counted", 10)


def test_typical_queries_pass_over_those_that_do_not_count():
    found = typical_queries(result_of([0.5, np.nan, 0.9, 0.1, 0.7]))
    assert found == {"best": 2, "median": 4, "worst": 3}  # 0.7: the upper of 0.5 and 0.7


def test_typical_queries_of_equal_ap_are_the_first_and_the_last():
    assert typical_queries(result_of([0.5, 0.5, 0.5])) == {"best": 2, "median": 1, "worst": 0}
    assert typical_queries(result_of([np.nan, 0.5])) == {"best": 1, "median": 1, "worst": 1}
    with pytest.raises(ValueError, match="none of 2 queries counts"):
        typical_queries(result_of([np.nan, np.nan]))


def test_heat_scores_by_hand():
    masks = torch.zeros(2, 2, 2, dtype=torch.long)
    masks[0, 0] = 2  # half of the first image is torso
    masks[1, 0, 0] = 1  # a quarter of the second is head
    heat = torch.zeros(2, 1, 2, 2)
    heat[0, 0, 0, 0] = 1.0  # all on the person
    heat[1, 0] = torch.tensor([[1.0, 1.0], [0.0, 0.0]])  # half
    table = heat_scores({"trained": heat, "blank": torch.zeros_like(heat) + 1}, masks, [12])
    assert list(table.columns) == ["layer 12 (%)"]
    assert table["layer 12 (%)"].to_dict() == {
        "trained": "75 ± 25",  # of 100 and 50: deviation 25 over the root of 2
        "blank": "38 ± 12",  # of 50 and 25
        "uniform map": "38 ± 12",
    }
    one = heat_scores({"trained": heat[:1], "blank": 0 * heat[:1]}, masks[:1], [12])
    assert one["layer 12 (%)"].to_dict() == {"trained": "100", "blank": "–", "uniform map": "50"}
    heat = torch.cat((heat, torch.zeros(2, 1, 2, 2)))
    table = heat_scores({"trained": heat}, masks.repeat(2, 1, 1), [12])
    assert table["layer 12 (%)"]["trained"] == "75 ± 25", "blank maps count neither here nor there"
    with pytest.raises(ValueError, match="with 2 layers"):
        heat_scores({"trained": heat}, masks, [11, 12])
    with pytest.raises(ValueError, match="heats have the shapes"):
        heat_scores({}, masks, [12])


def test_layers_above_a_uniform_map_and_a_control():
    masks = torch.zeros(4, 2, 2, dtype=torch.long)
    masks[:, 0] = 1  # the upper half is person
    on, off, blank = torch.zeros(4, 3, 2, 2).unbind(1)
    on[:, 0], off[:, 1] = 1, 1
    on[0] = off[0] = 1  # one image of four does not tell
    heat = torch.stack([on, off, blank], dim=1)[:, :2]
    assert layers_above(heat, masks, (11, 12)) == [11]
    assert layers_above(heat[1:2], masks[1:2], (11, 12)) == [], "one image shows nothing"
    assert layers_above(heat, masks, (11, 12), heat) == []
    assert layers_above(heat, masks, (11, 12), heat.flip(1)) == [11]


def test_the_layers_that_both_controls_leave_below():
    masks = torch.zeros(4, 2, 2, dtype=torch.uint8)
    masks[:, 0] = 1
    on, off = torch.zeros(2, 4, 2, 2)
    on[:, 0], off[:, 1] = 1, 1
    heat = torch.stack([on, off], dim=1)
    said = trusted_layers(heat, masks, (11, 12), heat)
    assert said.text.endswith("than a uniform map: 11; than random weights: none.")


def test_choices_are_scored_against_lot():
    day = {
        "light": "day",
        "area": [0.5, 0.25, 0.5],
        "good": [0.9, 0.65, 0.9],
        "odd": [0.4, 0.3, 0.5],
    }
    night = {"light": "night", "area": [0.5, 0.5, 0.5], "good": [0.2, 0.3, 0.1], "odd": [0.5] * 3}
    table = choice_scores(pd.concat(map(pd.DataFrame, (day, night))))
    found = table.set_index(["light", "choice"])
    assert found.loc[("day", "good"), "points"].startswith("+40.0")
    assert found.loc[("day", "odd"), "person"] == "open"
    # -30, -20 and -40 points: mean -30, deviation 10, t of two degrees of freedom 4.303
    assert found.loc[("night", "good"), "points"] == "-30.0 (-54.8 to -5.2)"
    assert found.loc[("night", "good"), "person"] == "less"
    assert found.loc[("night", "odd"), "points"] == "+0.0 (no interval)"
    assert "no true masks" in choice_scores(None).text
    told = choices_told(pd.concat(map(pd.DataFrame, (day, night))), [("odd", "good")]).text
    assert told == (
        "Day pictures: not clear: good, odd. Night pictures: less: good; not clear: odd. "
        "Odd minus good: day -41.7 (-60.6 to -22.7); night +30.0 (+5.2 to +54.8) points."
    )
    assert choices_told(None, []).text == choice_scores(None).text


def test_patches_of_stored_networks_are_told_for_each_light():
    runs = experiment("tvtr.table2_day-night")
    table = patches_shown(runs, ["all", "vit"])
    lights = ("visible", "infrared")
    assert {*table.index} == {(name, light) for name in ("TVTR", "ViT") for light in lights}
    found = [run["after"]["patches"]["infrared"] for run in runs.where(network="vit").records]
    area = [np.mean(each["area"]) for each in found]
    more = 100 * (np.mean([np.mean(each["residual"]) for each in found]) - np.mean(area))
    row = table.loc[("ViT", "infrared")]
    assert float(row["random patches"]) == pytest.approx(100 * area[0], abs=0.05)
    assert row["with residual"].startswith(f"{more:+.1f} (")


def test_without_masks_nothing_is_scored():
    heat = torch.ones(4, 2, 2, 2)
    said = heat_scores({"trained": heat}, None, (11, 12))
    assert "no true masks" in said.text
    assert style.table(said) is said, "a sentence, and no table without numbers"
    assert trusted_layers(heat, None, (11, 12), heat) is None
    assert layers_above(heat, None, (11, 12)) == []


def test_what_planes_tell():
    def plane(own, runs):
        features = {"own": own, "across": 0.25, "by chance": 0.75, "k": 5}
        numbers = pd.DataFrame({"own": runs, "across": [0.25] * 3})
        return Projection(np.zeros((3, 4, 2)), numbers, features)

    both = {"before": plane(0.1, [0.1, 0.2, 0.3]), "trained": plane(0.4, [0.2, 0.1, 0.5])}
    assert planes_told(both, "light").text == (
        "How many of the 5 nearest pictures show the same person? Before 10 %, trained 40 % (2 of "
        "3 pairs of t-SNE pictures agree). How many are of another light? Before 25 %, trained "
        "25 %, by chance 75 % (3 of 3 pairs of t-SNE pictures agree)."
    )
    assert "pairs" not in planes_told({"trained": both["trained"]}).text
    with pytest.raises(ValueError, match="no planes"):
        planes_told({})
