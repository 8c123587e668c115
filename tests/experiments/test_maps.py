"""The trial of the heat maps: it runs, and planted values get the words that they must."""

import numpy as np
import pytest

from reidlab.experiments import Runs, design
from reidlab.experiments.maps import EXPECTED, PLANTED, TESTS, parts_seen, verdicts
from reidlab.experiments.runner import Workspace


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    import reidlab.experiments.maps as maps

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(maps, "COUNT", 3)
        patched.setattr(maps, "NETWORKS", ("vit",))
        workspace = Workspace("smoke", folder=tmp_path_factory.mktemp("runs"))
        return [*design("gltrans.maps").rows(workspace)]


def test_every_map_of_every_target(rows):
    header, *lines = rows
    assert header["header"]["settings"]["count"] == 3
    assert {line["target"] for line in lines} == {"similarity", "identity"}
    kinds = {line["map"] for line in lines}
    assert {PLANTED, "occlusion"} < kinds
    assert len(lines) == 3 * 2 * len(kinds)  # seeds, targets
    for line in lines:
        assert all(len(values) == len(line["pid"]) for values in line["values"].values())
        shares = [x for x in line["values"]["person"] if x is not None]
        assert all(0 <= x <= 1 for x in shares)


def test_covering_what_occlusion_shows_hurts(rows):
    """Deletion and insertion have their signs right: of single cells occlusion knows the best."""
    for value in ("deletion", "insertion"):
        lines = [line["values"][value] for line in rows[1:] if line["map"] == "occlusion"]
        gained = np.array([x for line in lines for x in line if x is not None])
        assert len(gained) >= 9
        assert gained.mean() > 0, value


def test_the_control_is_another_network(rows):
    for line in rows[1:]:
        if line["map"].startswith("rollout"):
            values = line["values"]
            assert all(-1 <= x < 0.999 for x in values["correlation"] if x is not None)
            assert values["person"] != values["person by random weights"]


def test_the_planted_map_is_the_same_for_all_networks(rows):
    planted = [line["values"]["person"] for line in rows[1:] if line["map"] == PLANTED]
    assert planted[0] == planted[2] == planted[4]  # similarity of three seeds
    assert planted[0] != planted[1]  # other pictures


PEOPLE = 40


def line(network, seed, kind, **values):
    rng = np.random.default_rng([seed, len(kind), len(network)])
    noisy = {k: (v + 0.02 * rng.standard_normal(PEOPLE)).tolist() for k, v in values.items()}
    return {"network": network, "seed": seed, "target": "similarity", "map": kind,
            "pid": [*range(PEOPLE)], "values": noisy, "weights": ""}  # fmt: skip


def planted_runs():
    """A map that is right, one that shows where people stand, and the planted one."""
    lines = []
    for network, parts in (("vit", 2.0), ("pcb", 3.0), ("all", 4.0)):
        for seed in range(3):
            rest = {"person by random weights": 0.4, "parts": parts}
            lines += [
                line(network, seed, PLANTED, person=0.6, pointing=0.9, deletion=0.1,
                     insertion=0.1, area=0.4, parts=3.0),
                line(network, seed, "right", person=0.7, pointing=0.9, deletion=0.3,
                     insertion=0.3, correlation=0.1, **rest),
                line(network, seed, "edges", person=0.7, pointing=0.9, deletion=-0.1,
                     insertion=0.05, correlation=0.9, **rest),
            ]  # fmt: skip
    return Runs("gltrans.maps", lines=tuple(lines), design=design("gltrans.maps"))


def test_a_right_map_passes_all_tests_and_a_planted_wrong_one_some():
    table = verdicts(planted_runs(), "vit")
    assert table.loc["right"].tolist() == [True] * len(TESTS)
    failed = [test for test, passed in table.loc["edges"].items() if not passed]
    assert failed == ["deletion", "beyond deletion", "beyond insertion", "forgets"]
    asked = {test for test, passed in table.loc[PLANTED].items() if passed is True}
    assert asked == set(EXPECTED[PLANTED])


def test_the_number_of_parts_of_networks():
    table = parts_seen(planted_runs()).set_index(["map", "name"])
    row = table.loc[("right", "GLTrans over the ViT")]
    assert row.a == pytest.approx(2, abs=0.02)
    assert row.b == pytest.approx(4, abs=0.02)
    assert row.low < row.value < row.high
    assert row.value == pytest.approx(2, abs=0.03)
    assert row.verdict == "holds"
    assert table.loc[("right", "GLTrans over stripes"), "verdict"] == "contradicted"
    assert table.loc[(PLANTED, "GLTrans over the ViT"), "verdict"] == "no clear difference"
