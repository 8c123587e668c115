import numpy as np
import pytest

from reidlab.synth.draws import CAMERA, PERSON, Draws


def block(keys, seed=1, kind=PERSON):
    d = Draws(seed, kind, keys, 5)
    return np.stack([d.uniform() for _ in range(5)], axis=1)


def test_a_row_belongs_to_its_key_alone():
    together = block([(3,), (1,), (2,)])
    np.testing.assert_array_equal(together[[1, 2, 0]], block([(1,), (2,), (3,)]))
    np.testing.assert_array_equal(together[:1], block([(3,)]))


@pytest.mark.parametrize("other", [{"seed": 2}, {"kind": CAMERA}])
def test_seed_and_kind_give_other_numbers(other):
    assert not np.any(block([(1,)]) == block([(1,)], **other))


def test_the_distributions_are_what_they_say():
    d = Draws(0, PERSON, [(i,) for i in range(4000)], 8)
    uniform, around, chance = d.uniform(2.0, 4.0), d.around(1.0, 0.5), d.chance(0.3)
    choice = d.choice((1.0, 0.0, 3.0))
    assert 2.0 <= uniform.min() < 2.01
    assert 3.99 < uniform.max() < 4.0
    assert abs(around.mean() - 1.0) < 0.01
    assert np.abs(around - 1.0).max() < 0.5
    assert abs(chance.mean() - 0.3) < 0.03
    assert set(choice) == {0, 2}
    assert abs((choice == 2).mean() - 0.75) < 0.03


def test_asking_for_more_columns_than_reserved_is_an_error():
    d = Draws(0, PERSON, [(1,)], 1)
    d.uniform()
    with pytest.raises(IndexError):
        d.uniform()
