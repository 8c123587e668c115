"""What the reference runs of LA-Transformer and LA-TF++ compare; nothing is trained here."""

import dataclasses

from workflow.reference_la import corners, losses, table2

FREE = ("switches", "unfreezing")


def test_table_2_has_its_twelve_cells():
    plan = dict(table2("laptop"))
    assert len(plan) == 12
    cells = {(r.switches["heads"], r.switches["local_weight"], r.unfreezing) for r in plan.values()}
    assert cells == {
        (heads, weight, unfreezing)
        for heads in ("one", "rows")
        for weight in (0.0, 1.0, 8 / 9)
        for unfreezing in ("code", None)
    }
    assert plan["rows_global_at-once"].switches["local_weight"] == 0.0
    assert plan["one_local_blockwise"].unfreezing == "code"
    for name, recipe in plan.items():
        assert name.startswith(recipe.switches["heads"])
        # what the heads read is what is compared in retrieval
        assert recipe.switches["retrieval"] == {"one": "mean", "rows": "gelt"}[name.split("_")[0]]
    others = {
        str({k: v for k, v in dataclasses.asdict(r).items() if k not in FREE})
        for r in plan.values()
    }
    assert len(others) == 1, "nothing else differs"


def test_the_corners_are_cells_of_table_2_with_fewer_epochs():
    cells, found = dict(table2("laptop")), dict(corners("laptop"))
    assert sorted(found) == [
        "one_global_at-once", "one_global_blockwise", "rows_both_at-once", "rows_both_blockwise",
    ]  # fmt: skip
    epochs = dict(losses("laptop"))["la-tf-pp"].epochs
    assert all(found[name] == cells[name].replace(epochs=epochs) for name in found)


def test_the_losses_of_la_tf_pp():
    plan = dict(losses("laptop"))
    found = {
        name: (r.model, r.label_smoothing, r.triplet_weight, r.sampler, r.triplet_on)
        for name, r in plan.items()
    }
    assert found == {
        "la-tf_ce": ("la_transformer", 0.0, 0.0, "shuffle", "logits"),
        "la-tf_ce-tl": ("la_transformer", 0.0, 1.0, "shuffle", "logits"),
        "la-tf_cels": ("la_transformer", 0.1, 0.0, "shuffle", "logits"),
        "la-tf_cels-tl": ("la_transformer", 0.1, 1.0, "shuffle", "logits"),
        "la-tf-pp": ("la_tf_pp", 0.1, 1.0, "shuffle", "logits"),
        "la-tf-pp_identities": ("la_tf_pp", 0.1, 1.0, "identity", "logits"),
        "la-tf-pp_identities_features": ("la_tf_pp", 0.1, 1.0, "identity", "features"),
    }
