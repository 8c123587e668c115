"""Samplers: what every batch and every epoch must hold, whatever the labels."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reidlab.data import (
    CrossModalSampler,
    GraphSampler,
    IdentitySampler,
    ShuffleSampler,
    make_sampler,
)

LABELS = st.lists(st.integers(0, 6), min_size=1, max_size=60)


@settings(max_examples=150, deadline=None)
@given(LABELS, st.integers(1, 4), st.integers(1, 5), st.integers(0, 3), st.integers(0, 5))
def test_identity_batches(labels, people, images, seed, epoch):
    counts = Counter(labels)
    if len(counts) < people:
        with pytest.raises(
            ValueError, match=f"{len(counts)} people.*identities_per_batch={people}"
        ):
            IdentitySampler(labels, people, images, seed)
        return
    sampler = IdentitySampler(labels, people, images, seed)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert len(batches) == len(sampler) >= 1
    used = Counter()
    for batch in batches:
        assert len(batch) == sampler.batch_size == people * images
        in_batch = Counter(labels[i] for i in batch)
        assert len(in_batch) == people
        assert set(in_batch.values()) == {images}
        used.update(batch)
    groups = {person: max(1, n // images) for person, n in counts.items()}
    drawn = Counter(labels[i] for batch in batches for i in batch[::images])
    for index, times in used.items():  # with replacement only where a person has too few
        assert times == 1 or counts[labels[index]] < images
    assert all(drawn[person] <= groups[person] for person in groups)
    # The epoch ended because fewer than P people had a full group left.
    assert sum(groups[person] > drawn[person] for person in groups) < people


@settings(max_examples=50, deadline=None)
@given(LABELS, st.integers(0, 5))
def test_identity_batches_depend_on_seed_and_epoch_alone(labels, epoch):
    if len(set(labels)) < 2:
        return
    walked, jumped = (IdentitySampler(labels, 2, 2, seed=1) for _ in range(2))
    for e in range(epoch + 1):
        walked.set_epoch(e)
        list(walked)
    jumped.set_epoch(epoch)
    assert list(walked) == list(jumped) == list(jumped)


def test_epochs_and_seeds_differ():
    labels = np.repeat(np.arange(20), 8)
    orders = []
    for seed, epoch in ((0, 0), (0, 1), (1, 0), (1, 1)):
        sampler = IdentitySampler(labels, 4, 4, seed)
        sampler.set_epoch(epoch)
        orders.append(str(list(sampler)))
    assert len(set(orders)) == 4


def test_every_image_has_its_turn():
    labels = np.repeat(np.arange(8), 6)  # 6 images, K = 4: two are left out in each epoch
    sampler = IdentitySampler(labels, 4, 4)
    seen = set()
    for epoch in range(20):
        sampler.set_epoch(epoch)
        seen.update(i for batch in sampler for i in batch)
    assert seen == set(range(48))


def test_a_consumer_cannot_spoil_the_plan():
    sampler = IdentitySampler([0, 0, 1, 1], 2, 2)
    for batch in sampler:
        batch.clear()
    assert [len(batch) for batch in sampler] == [4]


@pytest.mark.parametrize(("people", "images"), [(0, 4), (4, 0)])
def test_identity_sampler_needs_at_least_one_of_each(people, images):
    with pytest.raises(ValueError, match="expected at least 1 of each"):
        IdentitySampler([0, 1, 2, 3], people, images)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 50), st.integers(1, 50), st.booleans(), st.integers(0, 3))
def test_shuffled_batches(length, batch_size, drop_last, epoch):
    if drop_last and length < batch_size:
        with pytest.raises(ValueError, match=f"{length} images give no batch"):
            ShuffleSampler(length, batch_size, drop_last=drop_last)
        return
    sampler = ShuffleSampler(length, batch_size, seed=2, drop_last=drop_last)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    flat = [i for batch in batches for i in batch]
    assert len(flat) == len(set(flat))
    assert set(flat) <= set(range(length))
    assert len(flat) == (length // batch_size * batch_size if drop_last else length)
    assert batches == list(sampler)


# ------------------------------------------------------------------ visible and infrared


def modalities(counts):
    """People and modality of images: {person: (visible, infrared)}."""
    rows = [
        (person, kind)
        for person, each in counts.items()
        for kind in (0, 1)
        for _ in range(each[kind])
    ]
    who, infrared = np.array(rows).T
    order = np.random.default_rng(0).permutation(len(who))
    return who[order], infrared[order]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=2, max_size=9),
    st.integers(1, 3),
    st.integers(0, 3),
)
def test_half_of_a_persons_images_are_infrared(counts, half, epoch):
    who, infrared = modalities({10 * n: each for n, each in enumerate(counts)})
    people, k = min(len(counts), 3), 2 * half
    sampler = CrossModalSampler(who, infrared, people, k, seed=1)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    largest = max(infrared.sum(), (1 - infrared).sum())
    assert len(batches) == len(sampler) == largest // (people * half) + 1
    for batch in batches:
        groups = np.array(batch).reshape(people, k)
        assert len({who[group[0]] for group in groups}) == people
        for group in groups:
            assert set(who[group]) == {who[group[0]]}
            assert infrared[group].tolist() == [0] * half + [1] * half
            for kind, side in enumerate((group[:half], group[half:])):
                there = counts[who[group[0]] // 10][kind]
                assert len(set(side)) == half or there < half
    assert batches == list(sampler)


def test_a_person_of_one_modality_has_more_of_it_and_is_named():
    who, infrared = modalities({3: (4, 4), 5: (2, 3), 7: (5, 0), 8: (3, 0), 9: (0, 2)})
    with pytest.warns(UserWarning, match="people have no") as told:
        sampler = CrossModalSampler(who, infrared, 3, 4)
    texts = sorted(str(each.message) for each in told)
    assert texts[0].startswith("1 of the 5 training people have no visible images (9): ")
    assert texts[1].startswith("2 of the 5 training people have no infrared images (7, 8): loss")
    seen = set()
    for epoch in range(30):
        sampler.set_epoch(epoch)
        for batch in sampler:
            groups = np.array(batch).reshape(3, 4)
            assert {3, 5} & set(who[groups[:, 0]])  # each batch has somebody with both
            for group in groups:
                kinds = infrared[group].tolist()
                assert kinds == {7: [0] * 4, 8: [0] * 4, 9: [1] * 4}.get(
                    who[group[0]], [0, 0, 1, 1]
                )
            seen.update(batch)
    assert seen == set(range(len(who)))


@pytest.mark.parametrize(
    ("counts", "people", "images", "message"),
    [
        ({1: (2, 2)}, 2, 4, "the training split has 1 people, but a batch needs identities_per_b"),
        ({1: (2, 2), 2: (2, 2)}, 2, 3, "images_per_identity 3, expected .* an even number of imag"),
        ({1: (2, 2), 2: (2, 2)}, 0, 4, "identities_per_batch is 0"),
        ({1: (2, 0), 2: (2, 0)}, 2, 4, "none of the 2 people .* has visible and infrared images"),
        ({1: (2, 0), 2: (0, 2)}, 2, 4, "none of the 2 people .* has visible and infrared images"),
    ],
)
def test_no_cross_modal_batches(counts, people, images, message):
    with pytest.raises(ValueError, match=message):
        CrossModalSampler(*modalities(counts), people, images)


def test_the_sampler_by_its_name():
    who, infrared = modalities({1: (2, 2), 2: (2, 2)})
    sizes = {"identities_per_batch": 2, "images_per_identity": 4}
    sampler = make_sampler("cross-modal", who, infrared=infrared, seed=3, **sizes)
    assert list(sampler) == list(CrossModalSampler(who, infrared, 2, 4, seed=3))
    with pytest.raises(ValueError, match="none of the 2 people"):
        make_sampler("cross-modal", who, **sizes)
    with pytest.raises(ValueError, match="unknown sampler 'tripelt': choose identity, cross-modal"):
        make_sampler("tripelt", who, **sizes)
    with pytest.raises(ValueError, match="batch_size=0"):
        make_sampler("shuffle", who, **sizes | {"identities_per_batch": 0})


# ------------------------------------------------------------------ the graph sampler

LINE = np.repeat(np.arange(6), [1, 2, 3, 4, 5, 9])  # six people on a line, of so many images


def on_a_line(rows):
    """People stand in the order of their numbers."""
    where = LINE[rows].astype(float)
    return np.abs(where[:, None] - where[None, :] + 0.1 * np.arange(len(rows)) / 10)


def graph(people=3, images=2, seed=0, epochs=1, distances=on_a_line):
    """The sampler after some epochs, and their batches."""
    sampler, seen = GraphSampler(LINE, people, images, seed), []
    for epoch in range(1, epochs + 1):
        sampler.set_epoch(epoch)
        sampler.look(distances)
        seen.append(list(sampler))
    return sampler, seen


def test_a_batch_is_a_person_after_the_nearest():
    """The nearest first, K images side by side; each person once."""
    _, (batches,) = graph()
    found = {}
    for batch in batches:
        first, second, anchor = (LINE[batch[i : i + 2]].tolist() for i in (0, 2, 4))
        assert all(one == other for one, other in (first, second, anchor))
        found[anchor[0]] = (first[0], second[0])
    distances = on_a_line([np.flatnonzero(p == LINE)[0] for p in range(6)])
    for person, neighbours in found.items():
        others = sorted(set(range(6)) - {person}, key=lambda each: distances[person, each])
        assert neighbours == tuple(others[:2])
    assert sorted(found) == list(range(6))


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 6), st.integers(1, 5), st.integers(0, 3))
def test_every_image_of_a_person_in_turn(people, images, seed):
    """Over all epochs each whole turn of a person's list holds each image once."""
    sampler, epochs = graph(people, images, seed, epochs=4)
    assert all(len(batches) == len(sampler) == 6 for batches in epochs)
    counts = Counter(row for batches in epochs for batch in batches for row in batch)
    for person, images_of in enumerate(sampler.images_of):
        drawn = sampler.drawn[person]
        assert sum(counts[row] for row in images_of) == drawn
        turns = drawn // len(images_of)
        assert all(turns <= counts[row] <= turns + 1 for row in images_of)


def test_the_number_drawn_is_all_that_a_sampler_remembers():
    _, (*_, expected) = graph(seed=3, epochs=3)
    before, _ = graph(seed=3, epochs=2)
    again = GraphSampler(LINE, 3, 2, seed=3)
    again.drawn[:] = before.drawn.tolist()
    again.set_epoch(3)
    again.look(on_a_line)
    assert list(again) == expected


def test_a_model_that_sees_no_difference_gives_random_neighbours():
    """As the authors' first graph is, whose scores are all saturated; theirs is by position."""
    _, epochs = graph(epochs=30, distances=lambda rows: np.zeros((6, 6)))
    neighbours = Counter(LINE[row] for batches in epochs for batch in batches for row in batch[:4])
    share = np.array([neighbours[person] for person in range(6)]) / sum(neighbours.values())
    assert share.min() > 0.12
    for batches in epochs:
        assert all(len(set(LINE[batch])) == 3 for batch in batches)


def test_one_image_of_each_person_is_shown_to_the_model():
    asked = []

    def distances(rows):
        asked.append(rows)
        return on_a_line(rows)

    graph(epochs=20, distances=distances)
    assert all(LINE[rows].tolist() == list(range(6)) for rows in asked)
    assert len({rows[5] for rows in asked}) > 3


def test_what_a_graph_sampler_refuses():
    with pytest.raises(ValueError, match=r"identities_per_batch is 1 .*expected at least 2, as ev"):
        GraphSampler(LINE, 1, 4)
    with pytest.raises(ValueError, match=r"has 6 people, but a batch needs identities_per_batch=7"):
        GraphSampler(LINE, 7, 4)
    sampler, _ = graph()
    sampler.set_epoch(2)
    with pytest.raises(ValueError, match=r"has not looked at a model in epoch 2: call set_epoch"):
        list(sampler)
    with pytest.raises(ValueError, match=r"have shape \(6, 6\) and 36 values that are no"):
        sampler.look(lambda rows: np.full((6, 6), np.nan))
    with pytest.raises(ValueError, match=r"have shape \(3, 3\) and 0 .*expected \(6, 6\)"):
        sampler.look(lambda rows: np.zeros((3, 3)))
