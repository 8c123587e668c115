"""The page across papers: each idea is what its name says, beside the number its paper prints."""

import pytest

from reidlab.experiments import experiment
from reidlab.report import load_claims
from reidlab.report.ideas import IDEAS, ideas_tried


@pytest.fixture(scope="module")
def tried():
    return ideas_tried()


def test_every_idea_stands_on_every_ground_that_has_runs(tried):
    grounds = [
        (idea.text, ground)
        for idea in IDEAS
        for ground, (name, _) in idea.grounds.items()
        if len(experiment(name.partition(":")[0]))
    ]
    assert len(grounds) >= 12
    assert [*zip(tried.name, tried.group, strict=True)] == grounds


def test_a_row_is_with_the_idea_minus_without(tried):
    ideas = {idea.text: idea for idea in IDEAS}
    for row in tried.itertuples():
        idea, ground = ideas[row.name], row.group
        name, (without, with_it) = idea.grounds[ground]
        name, _, step = name.partition(":")
        means = []
        for levels in (without, with_it):
            runs = experiment(name).where(**levels).records
            kept = [r["after"][step]["people"] if step else r["after"].get("people") for r in runs]
            sums = [
                sum(each["ap"]) if each else run["metrics"]["mAP"]
                for run, each in zip(runs, kept, strict=True)
            ]
            people = [sum(each["queries"]) if each else 1 for each in kept]
            means.append(100 * sum(sums) / sum(people))
        assert row.value == pytest.approx(means[1] - means[0], abs=1e-3)


def test_what_an_experiment_predicts_has_its_word(tried):
    """As its chapter shows it, though another table asks it among other questions."""
    seen = 0
    for row in tried.itertuples():
        idea = next(idea for idea in IDEAS if idea.text == row.name)
        name, (without, with_it) = idea.grounds[row.group]
        runs = experiment(name)
        for prediction in runs.design.predictions:
            if (prediction.a, prediction.b) == (without, with_it):
                word = runs.decide().loc[prediction.text].verdict
                if prediction.direction != idea.better:
                    turned = {"holds": "contradicted", "contradicted": "holds"}
                    word = turned.get(word, word)
                assert row.verdict == word, (row.name, row.group)
                seen += 1
    assert seen >= 20


def test_a_diamond_is_the_papers_gain_for_the_same_sides(tried):
    for idea in (i for i in IDEAS if i.claim):
        (claim,) = (c for c in load_claims(idea.claim[0]) if c.id == idea.claim[1])
        assert (claim.metric, claim.kind) == ("mAP", "difference")
        assert (claim.value > 0) == (idea.better == "higher")
        for ground, (name, (without, with_it)) in idea.grounds.items():
            if not len(experiment(name.partition(":")[0])):
                continue  # designed, and not run yet: no row
            printed = tried[(tried.name == idea.text) & (tried.group == ground)].paper.item()
            same = claim.sides == {"a": without, "b": with_it}
            assert (printed == claim.value) == same, (idea.text, ground)
    assert tried.paper.notna().sum() == 14
