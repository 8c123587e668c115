"""Neighbours and silhouettes by loops written here; pictures that keep what is there."""

import numpy as np
import pytest

from reidlab.explain import neighbourhood, project


def crowd(gap, people=6, images=4, seed=0):
    """People around directions of their own; half of the images are moved by `gap` in one more."""
    rng = np.random.default_rng(seed)
    pids = np.repeat(np.arange(people), images)
    infrared = np.tile(np.arange(images) % 2 == 1, people)
    x = np.eye(people + 1)[pids] + 0.05 * rng.standard_normal((len(pids), people + 1))
    x[:, -1] += gap * infrared
    return x, pids, infrared


def by_loops(x, pids, infrared, k):
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    n, far = len(x), 1 - x @ x.T
    across, own_people, values = [], [], []
    for i in range(n):
        others = sorted((far[i, j], j) for j in range(n) if j != i)
        across += [infrared[j] != infrared[i] for _, j in others[:k]]
        own_people += [pids[j] == pids[i] for _, j in others[:k]]
        mean = {
            p: np.mean([far[i, j] for j in range(n) if pids[j] == p and j != i]) for p in set(pids)
        }
        own = mean.pop(pids[i])
        values.append((min(mean.values()) - own) / max(own, min(mean.values())))
    return np.mean(values), np.mean(across), np.mean(own_people)


@pytest.mark.parametrize("gap", [0.0, 1.0, 5.0])
def test_against_loops(gap):
    x, pids, infrared = crowd(gap)
    found = neighbourhood(x, pids, infrared, k=3)
    silhouette, across, own = by_loops(x, pids, infrared, 3)
    assert found["own"] == pytest.approx(own)
    assert found["silhouette"] == pytest.approx(silhouette)
    assert found["across"] == pytest.approx(across)
    assert found["by chance"] == pytest.approx(12 / 23)  # 12 of the other modality among 23


def test_a_gap_between_modalities_is_seen():
    near, wide = (neighbourhood(*crowd(gap)) for gap in (0.0, 5.0))
    assert near["across"] > 0.4 > 0.3 > wide["across"]
    assert near["silhouette"] > 0.5 > 0 > near["by group"]
    assert wide["by group"] > 0.4 > wide["silhouette"]


def test_t_sne_keeps_people_together_and_repeats_itself():
    people = crowd(0.0)
    once, again = (project(*people, perplexities=(4, 8), seeds=(0, 1), k=3) for _ in range(2))
    assert once.points.shape == (4, 24, 2)
    assert np.array_equal(once.points, again.points)
    assert [*once.numbers["perplexity"]] == [4, 4, 8, 8]
    assert once.numbers["silhouette"].min() > 0.5
    assert once.numbers["trustworthiness"].between(0.85, 1).all()
    assert once.features == neighbourhood(*people, k=3)
    low, high = once.numbers["across"].min(), once.numbers["across"].max()
    own = once.features["across"]
    assert once.stability()[1] == f"across {own:.2f}, t-SNE {low:.2f} to {high:.2f}"
    assert np.array_equal(once.drawn, once.points[2])
    assert not np.allclose(once.points[0], once.points[1])


def test_scores_of_cosines_show_what_the_features_show():
    x, pids, infrared = crowd(1.0)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    scores = 40 * (unit @ unit.T) - 7
    scores += np.triu(np.ones_like(scores)) - np.tril(np.ones_like(scores))  # of a pair two scores
    by_scores = neighbourhood(scores, pids, infrared, k=3, scores=True)
    by_features = neighbourhood(x, pids, infrared, k=3)
    assert by_scores["across"] == by_features["across"]
    assert by_scores["own"] == by_features["own"]
    assert np.sign(by_scores["silhouette"]) == np.sign(by_features["silhouette"])
    far = scores[~np.eye(24, dtype=bool)].reshape(24, 23).mean() - (scores + scores.T) / 2
    near = np.argsort(far + 1e9 * np.eye(24), axis=1)[:, :3]
    plane = project(scores, pids, infrared, perplexities=(4,), seeds=(0,), k=3, scores=True)
    assert plane.numbers["trustworthiness"].item() > 0.8
    assert plane.features["across"] == (infrared[near] != infrared[:, None]).mean()


def test_of_few_images_it_asks_for_less():
    pids, groups = [1, 1, 2, 2], ["a", "b", "c", "d"]
    found = project(np.eye(4), pids, groups, seeds=(0,))
    assert np.isnan(found.features["by group"]), "each image is a group of its own"
    assert found.features["k"] == 1
    assert found.numbers["perplexity"].tolist() == [2]
    x, pids, infrared = crowd(0.0)
    assert neighbourhood(x, pids, infrared)["k"] == 5
    assert project(x, pids, infrared, seeds=(0,)).numbers["perplexity"].tolist() == [5]


def test_what_is_no_question_is_refused():
    x, pids, infrared = crowd(0.0)
    for changed, words in (
        ((x[:5], pids, infrared), "do not fit"),
        ((np.full_like(x, np.nan), pids, infrared), "NaN"),
        ((x, np.zeros(24), infrared), "show 1 people"),
        ((x, np.arange(24), infrared), "show 24 people"),
        ((x, pids, infrared | True), "all 24 images are of one group, True"),
    ):
        with pytest.raises(ValueError, match=words):
            neighbourhood(*changed)
        with pytest.raises(ValueError, match=words):
            project(*changed)
    with pytest.raises(ValueError, match="k is 24 and there are 24"):
        neighbourhood(x, pids, infrared, k=24)
    with pytest.raises(ValueError, match="perplexity 24 does not fit 24"):
        project(x, pids, infrared, perplexities=(24,))
    with pytest.raises(ValueError, match="k is 12 of 24"):
        project(x, pids, infrared, perplexities=(4,), k=12)
    with pytest.raises(ValueError, match=r"\(24, 7\).* expected \(N, N\)"):
        project(x, pids, infrared, scores=True)
    with pytest.raises(ValueError, match="no perplexity"):
        project(x, pids, infrared, seeds=())
