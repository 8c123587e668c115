"""Samplers: what every batch and every epoch must hold, whatever the labels."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reidlab.data import IdentitySampler, ShuffleSampler

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
