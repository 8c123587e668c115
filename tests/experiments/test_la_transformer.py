"""Table 2 by a list typed here; the knobs: worlds, forced choice, what a prediction is worth."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from reidlab import recipes
from reidlab.evaluation import rank, seed_difference
from reidlab.experiments import design, experiment
from reidlab.experiments import la_transformer as knobs
from reidlab.experiments.course import course_world


def test_a_world_differs_from_the_training_set_in_its_seed_and_one_knob():
    trained = course_world("smoke", "alike")
    worlds = knobs.knob_worlds("smoke", people=10)
    assert len(worlds) == sum(map(len, knobs.KNOBS.values()))
    for name, world in worlds.items():
        knob, _, value = name.partition("=")
        assert str(getattr(world, knob)) == value
        changes = {"seed": trained.seed, "identities": trained.identities}
        back = dataclasses.replace(world, **changes, **{knob: getattr(trained, knob)})
        assert back == trained
        assert world.seed != trained.seed


def test_every_prediction_is_about_worlds_that_are_measured():
    for _, knob, larger, smaller in knobs.PREDICTIONS:
        assert {larger, smaller} <= set(knobs.KNOBS[knob])


def choice_by_loops(emb, pids, camids):
    """Of all (image of the person, image of the double), by one other camera, who is nearer."""
    double = {pid: pid + 1 if pid % 2 else pid - 1 for pid in pids}
    cosine = torch.nn.functional.cosine_similarity(emb[:, None], emb[None], dim=2).numpy()
    shares = []
    for q, pid in enumerate(pids):
        won = []
        for a in range(len(pids)):
            for b in range(len(pids)):
                right = pids[a] == pid and pids[b] == double[pid] and camids[a] == camids[b]
                if right and camids[a] != camids[q]:
                    won.append(float(np.sign(cosine[q, a] - cosine[q, b])) / 2 + 0.5)
        shares.append(np.mean(won) if won else np.nan)
    return shares


def test_the_forced_choice_is_what_loops_over_pairs_say():
    rng = np.random.default_rng(3)
    pids, camids = rng.integers(1, 7, 40), rng.integers(0, 3, 40)
    emb = torch.from_numpy(rng.normal(size=(40, 5)))
    found = knobs.forced_choice(emb, pids, camids)
    np.testing.assert_allclose(found, choice_by_loops(emb, pids, camids))
    assert 0.2 < np.nanmean(found) < 0.8


def test_a_tie_is_half_a_success_and_one_camera_is_no_choice():
    pids, camids = np.array([1, 1, 2]), np.array([0, 1, 1])
    same = torch.ones(3, 2)
    np.testing.assert_equal(knobs.forced_choice(same, pids, camids), [0.5, np.nan, np.nan])


def test_judged_asks_each_image_for_its_person_in_other_cameras():
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"pid": np.repeat([1, 2, 3, 4], 6), "camid": np.tile([0, 1, 2], 8)})
    emb = torch.from_numpy(rng.normal(size=(24, 4)))
    found = knobs.judged({"rows": emb}, frame, doubles=False)
    unit = torch.nn.functional.normalize(emb)
    ids = [frame.pid.to_numpy()] * 2 + [frame.camid.to_numpy()] * 2
    expected = rank((1 - unit @ unit.T).numpy(), *ids).ap
    np.testing.assert_allclose(found["rows ap"], expected)
    assert list(found) == ["pid", "rows ap"]
    assert "rows choice" in knobs.judged({"rows": emb}, frame, doubles=True)


def runs_with(gains, measured="ap", people=12):
    """Measurements of two trainings, where rows gain so much, and their own class token none."""
    pids = np.repeat(np.arange(1, people + 1), 2)
    spread = np.tile([0.02, -0.02], people)
    return [
        pd.DataFrame(
            {
                "pid": pids,
                f"rows {measured}": 0.5 + gain + spread,
                f"global {measured}": 0.5,
                f"own class token {measured}": 0.5 + spread,
            }
        )
        for gain in gains
    ]


def test_the_table_holds_differences_over_seeds_and_people():
    rows = knobs.gains_table({"palette=3": runs_with((0.1, 0.3)), "differ=": runs_with((0.0, 0.0))})
    first = rows[0]
    assert (first["knob"], first["value"], first["comparison"]) == ("palette", "3", "two networks")
    assert first["difference"] == pytest.approx(20)
    assert first["rows"] - first["against"] == pytest.approx(20)
    # of two seeds that spread by 0.2 and people who do not: Student's t with one degree of freedom
    assert first["high"] - first["low"] == pytest.approx(2 * 12.706 * 10, rel=1e-3)
    assert (first["drawn"], first["queries"], len(rows)) == (12, 24, 4)


def test_pairs_of_doubles_are_drawn_as_one():
    runs = [pd.concat([a, b.drop(columns="pid")], axis=1) for a, b in
            zip(runs_with((0.1, 0.1)), runs_with((0.2, 0.2), "choice"), strict=True)]  # fmt: skip
    drawn = {row["measure"]: row["drawn"] for row in knobs.gains_table({"differ=shoes": runs})}
    assert drawn == {"ap": 12, "choice": 6}


def test_sums_by_person_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    pids = np.array([1, 2, 2, 3, 4, 4, 4])
    runs = [pd.DataFrame({"pid": pids, "rows ap": rng.random(7)}) for _ in range(2)]
    for run in runs:
        run.loc[3, "rows ap"] = np.nan  # a query without a match
    sums, queries = knobs.by_person(runs, "rows ap", "ap")
    assert queries.tolist() == [1, 2, 0, 3]
    for s, run in enumerate(runs):
        for k, pid in enumerate((1, 2, 3, 4)):
            values = [v for p, v in zip(run.pid, run["rows ap"], strict=True) if p == pid]
            assert sums[s, k] == pytest.approx(sum(v for v in values if v == v))
    assert knobs.by_person(runs, "rows ap", "choice")[1].tolist() == [3, 3]


def test_a_prediction_is_the_gain_here_minus_the_gain_there():
    gains = {"palette": (0.3, 0.1), "detail": (0.1, 0.3), "occlusion": (0.1, 0.1)}
    found = {}
    for _, knob, larger, smaller in knobs.PREDICTIONS:
        measured = "choice" if knob == "differ" else "ap"
        for value, gain in zip((larger, smaller), gains.get(knob, (0.2, 0.1)), strict=True):
            found[f"{knob}={value}"] = runs_with((gain - 0.001, gain + 0.001), measured)
    rows = [r for r in knobs.judge_predictions(found) if r["comparison"] == "two networks"]
    assert [row["contrast"] for row in rows] == pytest.approx([20, -20, 0, 10, 10])
    expected = ["holds", "contradicted", "smaller than 2 points", "holds", "holds"]
    assert [row["verdict"] for row in rows] == expected
    # each gain is a mean of two seeds 0.2 points apart: standard errors of 0.1, two of them
    half_width = 4.303 * (0.1**2 + 0.1**2) ** 0.5  # Student's t with two degrees of freedom
    for row in rows:
        assert row["high"] - row["contrast"] == pytest.approx(half_width, rel=1e-3)


@pytest.mark.parametrize("profile", ["smoke", "laptop", "paper"])
def test_table_2_has_its_twelve_cells(profile):
    start = recipes.get("la_transformer", profile)
    if profile == "laptop":
        start = start.replace(weights="plain", image_size=(128, 64), epochs=20)
    expected = {
        (heads, tokens, blocks): start.replace(
            switches={"heads": heads, "retrieval": retrieval, "local_weight": weight},
            unfreezing=unfreezing,
        )
        for heads, retrieval in (("one", "mean"), ("rows", "gelt"))
        for tokens, weight in (("global", 0.0), ("local", 1.0), ("both", 8 / 9))
        for blocks, unfreezing in (("blockwise", "code"), ("at-once", None))
    }
    cells = design("la_transformer.table2").cells(profile)
    assert {tuple(cell.levels.values()): cell.recipe for cell in cells.values()} == expected
    assert next(iter(cells)) == "one_global_blockwise"
    assert design("la_transformer.table2").data == "alike"


def test_the_corners_are_cells_of_table_2_in_every_fold():
    cells = design("la_transformer.table2").cells()
    found = design("la_transformer.corners_pku-folds").cells()
    corners = [
        "one_global_at-once", "one_global_blockwise", "rows_both_at-once", "rows_both_blockwise",
    ]  # fmt: skip
    assert sorted(found) == [f"{name}_{fold}" for name in corners for fold in (1, 2, 3)]
    for name, cell in found.items():
        corner, _, fold = name.rpartition("_")
        assert cell.recipe == cells[corner].recipe
        assert cell.options == {"fold": int(fold), "folds": 3}
    assert design("la_transformer.corners_pku-folds").data == "pku-reid"


@pytest.mark.parametrize(
    ("name", "steps", "asked"),
    [
        ("table2", ["people", "crowd", "by_retrieval"], ["alike-crowd"]),
        ("longer", ["people", "crowd", "by_retrieval"], ["alike-crowd"]),
        ("corners_plaza", ["people", "crowd", "by_retrieval"], ["plaza-crowd"]),
        ("corners_pku-folds", ["people", "authors", "by_retrieval"], []),
        ("corners_strong", ["people", "authors", "by_retrieval"], []),
    ],
)
def test_on_each_ground_its_own_people_are_asked_for(name, steps, asked):
    after = design(f"la_transformer.{name}").after
    assert [step.name for step in after] == steps
    assert [data for step in after for data in step.sets] == asked


def test_a_longer_training_has_twice_the_epochs_at_half_the_pace():
    cells = design("la_transformer.longer").cells()
    for blocks in ("blockwise", "at-once"):
        once, twice = (cells[f"rows_both_{blocks}_{length}"].recipe for length in ("once", "twice"))
        assert twice == once.replace(epochs=2 * once.epochs, decay_every=2 * once.decay_every)


def test_a_cost_that_is_smaller_from_another_start():
    plain = experiment("la_transformer.corners_pku-folds")
    assert knobs.smaller_cost(plain, plain).value == 0
    at_once = [run for run in plain.records if run["levels"]["blocks"] == "at-once"]
    twins = [run | {"levels": run["levels"] | {"blocks": "blockwise"}} for run in at_once]
    free = dataclasses.replace(
        plain, records=(*at_once, *twins)
    )  # a start from which it costs nothing
    sides = ({**knobs.LA, "blocks": way} for way in ("at-once", "blockwise"))
    by_hand = plain.leads(*sides).mean()
    assert knobs.smaller_cost(plain, free).value == pytest.approx(-100 * by_hand)


def test_the_predictions_are_those_that_were_made_before_the_first_run():
    assert [p[1:] for p in design("la_transformer.knobs").predictions] == [
        ("palette", 3, 32), ("detail", 2.0, 0.5), ("occlusion", 0.0, 0.9),
        ("differ", "shoes", "logo"), ("differ", "shoes", "bag"),
    ]  # fmt: skip


def test_faster_is_the_mean_over_the_epochs_and_better_the_last():
    runs = experiment("la_transformer.table2").where(heads="rows", tokens="both")
    slowly, at_once = (runs.where(blocks=way) for way in ("blockwise", "at-once"))
    found = knobs.faster_and_better(slowly, at_once)

    def seeds(each, key, epochs):  # one number a training
        kept = [record["history"][epochs:] for record in each.records]
        return [sum(row["validation"][key] for row in rows) / len(rows) for rows in kept]

    parts = [(key, since) for key in ("accuracy", "loss") for since in (0, -1)]
    gains = [seed_difference(seeds(at_once, *p), seeds(slowly, *p)) for p in parts]
    np.testing.assert_allclose(found.value, [gain.value for gain in gains])
    np.testing.assert_allclose(found.low, [gain.low for gain in gains])
    more = [gain.low > 0 for gain in gains[:2]] + [gain.high < 0 for gain in gains[2:]]
    assert found.as_claimed.to_list() == more
    turned = knobs.faster_and_better(at_once, slowly)
    np.testing.assert_allclose(turned.value, -found.value)
    assert not (turned.as_claimed & found.as_claimed).any()
