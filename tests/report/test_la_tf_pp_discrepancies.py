"""What is computed in the list of discrepancies of LA-TF++."""

import json
from math import comb

import pytest
import torch

from reidlab import recipes
from reidlab.experiments import experiment
from reidlab.files import project_root
from reidlab.losses import Triplet
from reidlab.models import create_model
from reidlab.models.la_tf_pp import PRESETS
from reidlab.report import discrepancies, load_claims


@pytest.fixture(scope="module")
def listed():
    return discrepancies("la_tf_pp").set_index("topic")


@pytest.fixture(scope="module")
def printed():
    return {claim.id: claim.value for claim in load_claims("la_tf_pp")}


def found(listed, topic):
    return listed.loc[topic, "program or data"]


def test_the_list(listed):
    assert len(listed) == 17


def test_people_and_queries_are_those_of_the_records(listed):
    data = experiment("vit_baseline.pku_reid").records[0]["data"]
    counts = load_claims("la_tf_pp")[0].counts
    people = (data["train_identities"], data["query_identities"])
    assert people == (62, 12)
    assert found(listed, "people to train on").startswith("62 of 114; 12 are the test, 40 are")
    assert 114 - sum(people) == 40
    assert data["train_images"] == counts["train_images"]
    assert counts["query_images"] == 28


def test_copies_are_those_of_the_audit(listed):
    path = project_root() / "book/results/protocol_audit/pku_reid.jsonl"
    values = json.loads(path.read_text().splitlines()[0])["header"]["values"]
    assert found(listed, "copies").startswith(f"{values['copied queries']} of {values['queries']} ")


def test_every_rank_k_is_a_count_of_28(listed, printed):
    ranks = [v for k, v in printed.items() if k.startswith("table") and not k.endswith("map")]
    counts = {round(28 * value / 100) for value in ranks}
    assert {25, 26, 27, 28} == counts
    assert all(abs(100 * round(28 * value / 100) / 28 - value) < 0.1 for value in ranks)
    assert f"{100 / 28:.2f}" in found(listed, "Rank-k")


def test_the_tables_against_the_text(listed, printed):
    losses = {"ce": "CE", "cels": "CE + LS", "ce-tl": "CE + TL", "cels-tl": "CE + LS + TL"}
    best = max(losses, key=lambda loss: printed[f"table1-{loss}-map"])
    assert found(listed, "best loss by mAP") == f"{losses[best]} (Table 1)"
    for metric, topic in (("map", "gain in mAP"), ("rank1", "gain in Rank-1")):
        gain = printed[f"table2-la-tf-pp-{metric}"] - printed[f"table2-la-tf-{metric}"]
        assert float(found(listed, topic).split()[0]) == pytest.approx(gain)


def test_the_presets(listed):
    assert PRESETS["code"].local_weight == pytest.approx(8 / 9)
    assert PRESETS["paper"].local_weight == pytest.approx(1 / 1.8)
    code, paper = (recipes.get("la_tf_pp", "paper", preset) for preset in ("code", "paper"))
    on = [next(x.on for x in r.losses if isinstance(x, Triplet)) for r in (code, paper)]
    assert on == ["logits", "features"]
    assert (code.sampler, code.epochs, paper.epochs) == ("shuffle", 15, 30)


def test_what_is_saved(listed):
    nets = []
    with torch.device("meta"):
        for name in ("la_transformer", "la_tf_pp"):
            nets.append(
                create_model(
                    name, num_classes=62, backbone="vit_base_patch16_224", weights=None,
                    image_size=(224, 224), preset="code",
                )
            )  # fmt: skip
    before, after = (sum(p.numel() for p in net.parameters()) for net in nets)
    assert found(listed, "smaller model").startswith(f"{100 * (1 - after / before):.1f} %")
    assert nets[0].embed_dim == nets[1].embed_dim


def test_anchors_that_are_alone(listed):
    alone = comb(61 * 16, 31) / comb(62 * 16 - 1, 31)
    assert f"{100 * alone:.0f} % of the anchors" in found(listed, "batches")


def test_training_pictures_and_strangers(listed):
    runs = experiment("la_tf_pp.losses_pku-folds").where(model="la-tf", loss="ce")
    learned = [run[-1]["accuracy"] for run in runs.histories]
    assert min(learned) > 0.99
    ranks = runs.values("rank1")
    assert f"{sum(ranks) / len(ranks):.0f} % of the strangers" in found(listed, "overfitting")
