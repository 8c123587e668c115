"""What `write_dataset` writes `open_dataset` reads: same people, cameras, modality and splits.

The oracle is `attributes.csv`, in which the writer says what it knows of each file; a reader never
opens it.
"""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reidlab.data import DatasetError, list_datasets, mask_path, open_dataset, read_image
from reidlab.synth import layouts, suggested_world, write_dataset

SPLITS = ("train", "query", "gallery")

# Knobs that a layout leaves free, beside seed and number of people.
KNOBS = {
    "market1501": {"cameras": (1, 3), "infrared_cameras": (1, 2), "images_per_camera": (2, 3)},
    "dukemtmc": {"cameras": (2, 4), "images_per_camera": (2, 3)},
    "occluded-duke": {"cameras": (2, 4)},
    "msmt17": {"cameras": (2, 5), "images_per_camera": (2, 3)},
    "cuhk03-np": {"images_per_camera": (2, 4)},
    "cuhk03-classic": {"images_per_camera": (2, 3)},
    "veri776": {"cameras": (2, 5), "images_per_camera": (1, 3)},
    "randperson": {"cameras": (1, 19)},
    "sysu-mm01": {"images_per_camera": (1, 3)},
    "regdb": {"images_per_camera": (1, 3)},
    "pku-reid": {},
    "folder": {"cameras": (2, 5), "images_per_camera": (2, 3)},
}
OPTIONS = {  # of the writer; where a reader must be told, it is told the same
    "msmt17": {"version": ("V1", "V2")},
    "cuhk03-np": {"form": ("mat", "images", "market")},
    "cuhk03-classic": {"form": ("mat", "images")},
    "randperson": {"order": ("scene-camera", "camera-scene")},
    "pku-reid": {"form": ("la-tf-pp", "57-57")},
}
ASKED = {"sysu-mm01": {"trial": None}}  # the whole pool, not one draw of it


def chosen(draw, name):
    """A random small world and the writer's options."""
    knobs = {knob: draw(st.integers(*ends)) for knob, ends in KNOBS[name].items()}
    options = {key: draw(st.sampled_from(values)) for key, values in OPTIONS.get(name, {}).items()}
    many = draw(st.integers(30, 34) if name == "occluded-duke" else st.integers(16, 20))
    seed = draw(st.integers(0, 10**6))
    return suggested_world(name, seed=seed, identities=many, resolution=(16, 16), **knobs), options


def expected(name, told, ds):
    """The rows of attributes.csv that belong into each split."""
    named = told["split"].str.get_dummies("+").astype(bool)  # "query+gallery" is in both
    parts = {split: told[named[split]] if split in named else told[:0] for split in SPLITS}
    val = told[told["split"] == "val"]
    if name in ("msmt17", "sysu-mm01"):  # validation people are trained on
        parts["train"] = pd.concat([parts["train"], val])
    if name.startswith("cuhk03"):
        parts = {
            split: rows[rows["file"].str.contains("detected/")] for split, rows in parts.items()
        }
    if ds.options.get("split") == "all_imgs":
        parts["query"] = parts["gallery"] = told[told["split"] == "all_imgs"]
    return parts


@pytest.mark.parametrize("name", layouts())
@settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_what_is_written_is_read(name, data, tmp_path_factory, recwarn):
    world, options = chosen(data.draw, name)
    root = write_dataset(name, tmp_path_factory.mktemp("round") / "set", world, **options)
    told = pd.read_csv(root / "attributes.csv")
    ds = open_dataset(name, root, **ASKED.get(name, {}))
    if name == "cuhk03-classic":  # its splits are another protocol's than the one of the table
        judge_classic(ds, told)
    else:
        for split, rows in expected(name, told, ds).items():
            assert facts(getattr(ds, split), root) == facts_told(rows), split
    assert ds.foreign == ()
    swapped = options.get("order") == "camera-scene"
    assert len(ds.warnings) == swapped, ds.warnings  # the old order of names is read and reported
    assert set(ds.describe()["status"]) == {"synthetic"}
    first = ds.train["path"].iloc[0]
    assert read_image(first).size == world.resolution[::-1]
    assert mask_path(first).is_file()
    labels = {pid: rank for rank, pid in enumerate(sorted(set(ds.train["pid"])))}
    assert ds.train["label"].tolist() == [labels[pid] for pid in ds.train["pid"]]
    (root / "world.json").rename(root / "world.json.partial")
    with pytest.raises(DatasetError, match="interrupted"):  # half a set does not pass for whole
        open_dataset(name, root)


def facts(frame, root):
    """File, person, camera and modality of each row of a reader's table."""
    files = [Path(path).relative_to(root).as_posix() for path in frame["path"]]
    return sorted(zip(files, frame["pid"], frame["camid"], frame["modality"], strict=True))


def facts_told(rows):
    return sorted(zip(rows["file"], rows["pid"], rows["camid"], rows["modality"], strict=True))


def judge_classic(ds, told):
    """The people of the test set are apart, and everybody is somewhere."""
    there = told[told["file"].str.contains("detected/")]
    assert not set(ds.train["pid"]) & set(ds.query["pid"])
    assert facts(ds.query, ds.root) == facts(ds.gallery, ds.root)
    assert sorted(facts(ds.train, ds.root) + facts(ds.query, ds.root)) == facts_told(there)


def test_every_set_can_be_written():
    assert set(layouts()) == set(list_datasets()) == set(KNOBS)
