"""The table of protocols against each of them alone."""

import numpy as np
import pytest

from reidlab.evaluation import PROTOCOLS, audit, bootstrap, evaluate

RNG = np.random.default_rng(4)
EMB = [RNG.normal(size=(n, 5)) for n in (20, 90)]
LABELS = [RNG.integers(0, high, n) for high, n in ((6, 20), (6, 90), (4, 20), (4, 90))]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("ap", [None, "trapezoid"])
def test_every_protocol_as_if_it_were_alone(metric, ap):
    table = audit(*EMB, *LABELS, metric=metric, ap=ap)
    assert table.index.tolist() == list(PROTOCOLS)
    assert table.attrs == {"left out": {}}
    for name, row in table.iterrows():
        alone = evaluate(*EMB, *LABELS, protocol=name, ap=ap, metric=metric)
        interval = bootstrap(alone, LABELS[0])
        assert row.to_dict() == {
            "rank1": alone.rank1,
            "rank5": alone.cmc(5),
            "rank10": alone.cmc(10),
            "mAP": alone.mAP,
            "low": interval.low,
            "high": interval.high,
            "mINP": alone.mINP,
            "counted": alone.num_valid,
            "AP": ap or PROTOCOLS[name].ap,
        }


def test_protocols_by_name():
    assert audit(*EMB, *LABELS, protocols=["regdb", "standard"]).index.tolist() == [
        "regdb",
        "standard",
    ]
    assert len(audit(*EMB, *LABELS, protocols=np.array(["regdb", "standard"]))) == 2
    assert audit(*EMB, *LABELS, protocols="regdb").index.tolist() == ["regdb"]
    with pytest.raises(ValueError, match="unknown protocol 'market'"):
        audit(*EMB, *LABELS, protocols=["standard", "market"])


def test_what_cannot_be_applied_is_left_out():
    table = audit(*EMB, LABELS[0], LABELS[1])
    assert table.index.tolist() == ["regdb", "la-official"]
    assert set(table.attrs["left out"]) == {"standard", "sysu", "cuhk03-single-shot"}
    assert "g_camids" not in table.attrs["left out"]["sysu"]
    with pytest.raises(ValueError, match="q_camids is missing"):
        audit(*EMB, LABELS[0], LABELS[1], protocols=["standard"])


def test_one_person_has_no_interval():
    (row,) = audit(
        *EMB, np.ones(20, int), np.ones(len(EMB[1]), int), protocols="regdb"
    ).itertuples()
    assert row.mAP == 1
    assert np.isnan([row.low, row.high]).all()


def test_a_reason_that_all_share_is_given_once():
    broken = EMB[0].copy()
    broken[3] = np.nan
    with pytest.raises(ValueError, match=r"^q_emb: 1 of 20 rows hold NaN"):
        audit(broken, EMB[1], *LABELS)
    with pytest.raises(ValueError, match=r"^unknown ap 'area'"):
        audit(*EMB, *LABELS, ap="area")
    with pytest.raises(ValueError, match=r"no protocol can be applied\nstandard: none of the"):
        audit(*EMB, LABELS[0] + 10, *LABELS[1:])
