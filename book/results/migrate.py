"""Old results, one JSON file a run, to one JSON Lines file an experiment; run once, from the root.

    python book/results/migrate.py

Every leaf value of the old files stands in the new ones, which is checked before the old ones go.
The one thing that moves inside a record: what `metrics.by_retrieval` held is now under `after`.
"""

# ruff: noqa: D103
import json
from collections import Counter
from pathlib import Path

RESULTS = Path(__file__).parent
LOSSES = {
    "la-tf_ce": ("la-tf", "ce", "shuffled"), "la-tf_ce-tl": ("la-tf", "ce-tl", "shuffled"),
    "la-tf_cels": ("la-tf", "cels", "shuffled"), "la-tf_cels-tl": ("la-tf", "cels-tl", "shuffled"),
    "la-tf-pp": ("la-tf-pp", "cels-tl", "shuffled"),
    "la-tf-pp_identities": ("la-tf-pp", "cels-tl", "people"),
    "la-tf-pp_identities_features": ("la-tf-pp", "cels-tl-features", "people"),
}  # fmt: skip
used = []


def read(name):
    used.append(RESULTS / name)
    return json.loads((RESULTS / name).read_text())


def line(record, levels, after=None):
    metrics = dict(record["metrics"])
    found = {"by_retrieval": metrics.pop("by_retrieval")} if "by_retrieval" in metrics else {}
    return {**record, "metrics": metrics, "levels": levels, "after": {**found, **(after or {})}}


def table2(which, cells):
    for seed in range(3):
        for heads, tokens, blocks in cells:
            record = read(f"la_transformer/{which}_{heads}_{tokens}_{blocks}_seed{seed}.json")
            yield line(record, {"heads": heads, "tokens": tokens, "blocks": blocks})


def losses():
    for seed in range(3):
        for name, levels in LOSSES.items():
            record = read(f"la_tf_pp/pku-reid_{name}_seed{seed}.json")
            other = read(f"la_tf_pp/pku-reid_{name}_seed{seed}_official.json")
            own = {part: other[part] for part in ("data", "metrics", "seconds")}
            assert {**record, **own} == other, "the same run under another rule"
            levels_of = dict(zip(("model", "loss", "batches"), levels, strict=True))
            yield line(record, levels_of, {"official": own})


def knobs():
    old = read("la_transformer/knobs.json")
    yield {"header": {k: v for k, v in old.items() if k not in ("results", "predictions")}}
    yield from ({"table": "gains", **row} for row in old["results"])
    yield from ({"table": "predictions", **row} for row in old["predictions"])


def ranking():
    old = read("la_tf_pp/ranking.json")
    yield {"header": {k: v for k, v in old.items() if k != "results"}}
    for key, rules in old["results"].items():
        name, seed = key.rsplit("_seed", 1)
        for rule, additions in rules.items():
            for addition, row in additions.items() if rule != "weights" else ():
                yield {
                    "model": LOSSES[name][0], "seed": int(seed), "rule": rule,
                    "addition": addition, **row, "weights": rules["weights"],
                }  # fmt: skip


def ablation():
    old = read("vit_tiny_synth/ablation.json")
    yield {"header": {k: v for k, v in old.items() if k != "results"}}
    for arm, rows in old["results"].items():
        for key, row in rows.items():
            where, view = key.split(", ")
            yield {"arm": arm, "set": where, "view": view, **row}


def zero_shot():
    for place in ("plaza", "mall", "night-street", "plaza-infrared", "pku-reid"):
        yield line(read(f"vit_tiny_synth/zero_shot_{place}.json"), {"place": place})


def baseline():
    for seed in range(3):
        yield line(read(f"vit_baseline/pku-reid_laptop_seed{seed}.json"), {"start": "shipped"})
    yield line(read("vit_baseline/pku-reid_random_weights_seed0.json"), {"start": "random"})


def untrained():
    yield line(read("vit_baseline/pku-reid_small_pixels.json"), {"feature": "small pixels"})


def audit():
    old = read("protocol_audit/pku-reid.json")
    copies = old["values"].pop("copies")
    yield {"header": old}
    yield from copies


def leaves(tree):
    if isinstance(tree, dict):
        return [leaf for value in tree.values() for leaf in leaves(value)]
    if isinstance(tree, list):
        return [leaf for value in tree for leaf in leaves(value)]
    return [repr(tree)]


PAIRS = [("one", "global"), ("rows", "both")]
NEW = {
    "la_transformer/table2": table2("table2", [
        (heads, tokens, blocks) for heads in ("one", "rows")
        for tokens in ("global", "local", "both") for blocks in ("blockwise", "at-once")
    ]),
    "la_transformer/corners": table2("corners", [
        (*pair, blocks) for pair in PAIRS for blocks in ("blockwise", "at-once")
    ]),
    "la_transformer/knobs": knobs(), "la_tf_pp/losses": losses(), "la_tf_pp/ranking": ranking(),
    "pretraining/ablation": ablation(), "pretraining/zero_shot": zero_shot(),
    "vit_baseline/pku_reid": baseline(), "vit_baseline/untrained": untrained(),
    "protocol_audit/pku_reid": audit(),
}  # fmt: skip
total = 0
for name, lines in NEW.items():
    first, lines = len(used), list(lines)
    old, new = Counter(), Counter(leaf for each in lines for leaf in leaves(each))
    for path in used[first:]:
        old.update(leaves(json.loads(path.read_text())))
    if name == "la_tf_pp/losses":  # the other rule's files repeat the run
        for each in lines:
            same = {
                k: v
                for k, v in each.items()
                if k not in ("after", "levels", "data", "metrics", "seconds")
            }
            new.update(leaves(same))
    assert not old - new, (name, old - new)
    path = RESULTS / f"{name}.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(each) + "\n" for each in lines), encoding="utf-8")
    total += sum(old.values())
    print(f"{name}: {len(lines)} lines from {len(used) - first} files, {sum(old.values())} values")
for path in used:
    path.unlink()
print(f"{len(used)} files, {total} values, none lost")
