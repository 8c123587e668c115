"""Every layout: names as in the real set, lists that agree with the files, and a truth that fits.

Patterns and rules are typed here anew, from what is known of the real sets.
"""

import re
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import product
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.io import loadmat

from reidlab.synth import (
    PARTS,
    World,
    layouts,
    suggested_world,
    truth,
    vehicles,
    write_dataset,
    writers,
)
from reidlab.synth.layout import LAYOUTS, cuhk03, occluded_duke, regdb, veri776

KNOBS = {"seed": 3, "identities": 12, "resolution": (32, 16)}
WORLDS = {
    name: suggested_world(name, **{**KNOBS, **knobs})
    for name, knobs in {
        "market1501": {"cameras": 3},
        "dukemtmc": {"cameras": 3},
        "occluded-duke": {"cameras": 3, "occlusion": 0.6, "identities": 16},
        "msmt17": {"cameras": 4, "identities": 16},
        "cuhk03-np": {"images_per_camera": 3},
        "cuhk03-classic": {"images_per_camera": 3},
        "veri776": {"cameras": 3, "images_per_camera": 2, "resolution": (16, 32)},
        "randperson": {"identities": 8},
        "sysu-mm01": {"images_per_camera": 2, "identities": 20},
        "regdb": {"images_per_camera": 3, "identities": 9, "jitter": 0.0},
        "pku-reid": {"identities": 10},
        "folder": {"cameras": 3},
    }.items()
}
DUKE = r"(bounding_box_train|query|bounding_box_test)/(?P<pid>\d{4})_c(?P<cam>\d)_f\d{7}\.jpg"
CUHK = r"(?P<pair>\d)_(?P<person>\d{3})_(?P<cam>\d)_\d{2}\.png"
NAMES = {
    "market1501": r"(bounding_box_train|query|bounding_box_test)/"
    r"(?P<pid>-?\d+)_c(?P<cam>\d)s(\d)_(\d+)_(\d+)\.jpg",
    "dukemtmc": DUKE,
    "occluded-duke": "DukeMTMC-reID/" + DUKE,
    "msmt17": r"(train|test)/(?P<pid>\d{4})/(?P=pid)_(\d{3})_(?P<cam>\d{2})_(\d{4})"
    r"(morning|noon|afternoon)_(\d{4})_(\d{1,2})(_ex)?\.jpg",
    "cuhk03-np": r"cuhk03_release/cuhk-03\.mat/(labeled|detected)/" + CUHK,
    "veri776": r"image_(train|query|test)/(?P<pid>\d{4})_c(?P<cam>\d{3})_(\d{8})_(\d+)\.jpg",
    "randperson": r"randperson_subset/(?P<pid>\d{6})_s(\d{2})_c(\d{2})_f(\d{6})\.jpg",
    "sysu-mm01": r"cam(?P<cam>[1-6])/(?P<pid>\d{4})/(\d{4})\.jpg",
    "regdb": r"(Visible|Thermal)/(?P<pid>\d+)/"
    r"(male|female)_(front|back)_([vt])_(\d{5})_(?P=pid)\.bmp",
    "pku-reid": r"(train|val/all_imgs|val/query|val/gallery)/"
    r"(?P<pid>\d{3})/(?P<cam>0[12])_[1-8]\.png",
    "folder": r"(?P<pid>\d{4})/\d+/\d{4}\.jpg",
}
KINDS = {".jpg": "JPEG", ".png": "PNG", ".bmp": "BMP"}
ONES = [name for name in WORLDS if name != "cuhk03-classic"]


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(writers, "_CHUNK", 16)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A function that writes a layout once and gives its folder and its table."""
    roots = {}

    def write(name, **options):
        key = (name, *options.items())
        if key not in roots:
            root = tmp_path_factory.mktemp("layouts") / name
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(writers, "_CHUNK", 16)
                roots[key] = write_dataset(name, root, WORLDS[name], **options)
        return roots[key], pd.read_csv(roots[key] / "attributes.csv")

    return write


def contents(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def lines(path):
    return path.read_text().splitlines()


def files_below(root):
    """Images on disk, relative to the root, without masks."""
    found = [p for p in root.rglob("*") if p.suffix in KINDS and "masks" not in p.parts]
    return {p.relative_to(root).as_posix() for p in found}


def in_split(table, name):
    return table[[name in split.split("+") for split in table["split"]]]


# --- what holds for every layout ------------------------------------------------------------------


def test_the_names_of_the_layouts():
    assert layouts() == tuple(WORLDS)


@pytest.mark.parametrize("name", ONES)
def test_every_name_is_as_in_the_real_set(written, name):
    _, table = written(name)
    pattern = re.compile(f"^{NAMES[name]}$")
    matches = [pattern.match(file) for file in table["file"]]
    assert all(matches), table["file"][[m is None for m in matches]].tolist()
    assert table["file"].is_unique
    for match, pid, camid in zip(matches, table["pid"], table["camid"], strict=True):
        told = match.groupdict()
        if "pid" in told:
            assert int(told["pid"]) == pid
        if "cam" in told:
            assert int(told["cam"]) - 1 == camid


@pytest.mark.parametrize("name", ONES)
def test_files_and_rows_and_masks_are_the_same_images(written, name):
    root, table = written(name)
    if name != "cuhk03-np":  # in an archive
        assert files_below(root) == set(table["file"])
    masks = {p.relative_to(root / "masks").as_posix() for p in (root / "masks").rglob("*.png")}
    assert masks == {str(Path(file).with_suffix(".png")) for file in table["file"]}
    mask = np.asarray(Image.open((root / "masks" / table["file"][0]).with_suffix(".png")))
    assert mask.shape == WORLDS[name].resolution
    assert mask.max() < len(PARTS)
    assert not list(root.rglob("*.tmp"))
    assert not (root / ".parts").exists()


@pytest.mark.parametrize("name", [n for n in ONES if n != "cuhk03-np"])
def test_files_are_of_the_kind_of_the_real_set(written, name):
    root, table = written(name)
    for file in table["file"][::17]:
        with Image.open(root / file) as picture:
            kind = "JPEG" if name == "pku-reid" else KINDS[Path(file).suffix]
            assert (picture.format, picture.mode) == (kind, "RGB")
            assert picture.size == WORLDS[name].resolution[::-1]


@pytest.mark.parametrize("name", [n for n in ONES if n != "randperson"])
def test_nobody_is_both_trained_on_and_tested_with(written, name):
    _, table = written(name)
    training = table["split"].isin(["train", "val"])
    if name == "sysu-mm01":
        assert not set(table["person"][training]) & set(table["person"][~training])
        return
    boxes = (
        table["file"].str.split("/").str[2] if name == "cuhk03-np" else pd.Series("", table.index)
    )
    for kind in set(boxes):
        told = boxes == kind
        used = told & (table["split"] != "unused")
        train = set(table["person"][used & training])
        test = set(table["person"][used & ~training])
        assert train
        assert test
        assert not train & test


@pytest.mark.parametrize("name", ONES)
def test_pictures_show_the_world_that_is_recorded(written, name):
    root, table = written(name)
    world = LAYOUTS[name].adapt(WORLDS[name])
    for row in table.rename(columns={"index": "place"}).iloc[:: len(table) // 3].itertuples():
        jitter = 7.0 if row.pid < 0 else 0.0 if "/labeled/" in row.file else 1.0
        _, masks, truth = world.render([(row.person, row.camera, row.place)], jitter=jitter)
        mask = np.asarray(Image.open((root / "masks" / row.file).with_suffix(".png")))
        np.testing.assert_array_equal(mask, masks[0])
        assert truth["azimuth"][0] == row.azimuth
        assert truth["modality"][0] == row.modality


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("occluded-duke", {}),
        ("cuhk03-np", {}),
        ("cuhk03-np", {"form": "images"}),
        ("veri776", {}),
        ("sysu-mm01", {}),
    ],
)
@pytest.mark.parametrize("late", [False, True])
def test_an_interrupted_write_continues_to_the_same_bytes(
    written, tmp_path, monkeypatch, name, options, late
):
    """Interrupted after two chunks, or when all is done but the table: lists are there then."""
    whole, _ = written(name, **options)
    calls = []

    def interrupt(done, total):
        calls.append(done)
        if len(calls) == 2:
            raise KeyboardInterrupt

    def table_fails(path, text, write_text=writers.write_text, **options):
        if path.name == "attributes.csv":
            raise KeyboardInterrupt
        write_text(path, text, **options)

    with monkeypatch.context() as patch:
        patch.setattr(writers, "write_text", table_fails)
        progress = None if late else interrupt
        with pytest.raises(KeyboardInterrupt):
            write_dataset(name, tmp_path, WORLDS[name], progress=progress, **options)
    assert not (tmp_path / "world.json").exists()
    write_dataset(name, tmp_path, WORLDS[name], **options)
    assert contents(tmp_path) == contents(whole)


@pytest.mark.parametrize("name", ["regdb", "veri776"])
def test_another_world_or_layout_is_refused(written, name):
    root, _ = written(name)
    write_dataset(name, root, WORLDS[name])
    with pytest.raises(FileExistsError, match="holds another world"):
        write_dataset(name, root, replace(WORLDS[name], seed=4))
    with pytest.raises(FileExistsError, match="holds another world"):
        write_dataset("folder", root, WORLDS["folder"])


@pytest.mark.parametrize("name", layouts())
def test_the_suggested_world_fits_as_it_is(name):
    world = suggested_world(name)
    writers.resolve(name, world, {})
    assert suggested_world(name, seed=9, clutter=0.5) == replace(world, seed=9, clutter=0.5)


# --- what does not fit ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "knobs", "options", "message"),
    [
        ("regdb", {}, {"junk": 0.1}, r"'regdb' has no option junk: it has none"),
        ("dukemtmc", {}, {"junk": 0.1, "x": 1}, r"no option junk, x: it has train_fraction=0.5, d"),
        ("dukemtmc", {"cameras": 10}, {}, "10 cameras.*9"),
        ("dukemtmc", {}, {"distractors": "many"}, "distractors='many'.*0 to 10"),
        ("dukemtmc", {"identities": 9998}, {}, "identities.*9999"),
        ("occluded-duke", {"occlusion": 0.0}, {}, r"occlusion=0.0.*raise occlusion"),
        ("msmt17", {}, {"version": "V3"}, "version='V3'.*'V1', 'V2'"),
        ("msmt17", {}, {"val": 0.0}, "val=0.0"),
        ("msmt17", {"images_per_camera": 100}, {}, "images_per_camera=100.*0 to 999"),
        ("cuhk03-np", {"cameras": 2}, {}, "cameras=10.*five pairs"),
        ("cuhk03-np", {"images_per_camera": 6}, {}, "images_per_camera=6.*2 to 5"),
        ("cuhk03-np", {"identities": 9}, {}, "identities=9.*10 or more"),
        ("cuhk03-np", {"identities": 3000}, {}, "identities=3000.*999"),
        ("cuhk03-classic", {}, {"form": "zip"}, "form='zip'.*'mat', 'images', 'market'"),
        ("cuhk03-np", {"images_per_camera": 2}, {"train_fraction": 0.05}, "two .* images in each"),
        ("veri776", {"cameras": 1}, {}, "cameras=1"),
        ("randperson", {"cameras": 20}, {}, "20 cameras.*19"),
        ("randperson", {"infrared_cameras": 1}, {}, "infrared_cameras=1.*visible"),
        ("randperson", {}, {"order": "camera"}, "order='camera'"),
        ("sysu-mm01", {"infrared_cameras": 1}, {}, "cameras=4 and infrared_cameras=2"),
        ("sysu-mm01", {"identities": 2}, {"train_fraction": 0.5}, "nobody is left for train"),
        ("regdb", {"infrared_cameras": 0}, {}, "infrared_cameras=1"),
        ("regdb", {"identities": 1}, {}, "identities=1.*2 or more"),
        ("pku-reid", {"images_per_camera": 7}, {}, "images_per_camera=7.*8"),
        ("pku-reid", {"cameras": 3}, {}, "cameras=2"),
        ("pku-reid", {}, {"form": "all"}, "form='all'"),
        ("folder", {}, {"train_fraction": True}, "train_fraction=True"),
        ("folder", {"images_per_camera": 1}, {}, "images_per_camera=1"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_an_error_before_anything_is_written(
    tmp_path, name, knobs, options, message
):
    with pytest.raises(ValueError, match=message):
        write_dataset(name, tmp_path / "set", replace(suggested_world(name), **knobs), **options)
    assert not (tmp_path / "set").exists()


def test_an_unknown_layout_has_no_suggestion():
    with pytest.raises(ValueError, match=r"'imagenet'.*market1501"):
        suggested_world("imagenet")


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("reidlab.synth.layout.matlab.import_module", missing)
    with pytest.raises(ModuleNotFoundError, match="pip install scipy"):
        write_dataset("cuhk03-np", tmp_path / "set", WORLDS["cuhk03-np"])
    assert not (tmp_path / "set").exists()


# --- DukeMTMC-reID and Occluded-Duke --------------------------------------------------------------


def test_duke_has_ordinary_people_who_distract(written):
    _, table = written("dukemtmc")
    assert table["pid"].min() > 0
    test = table[table["split"] != "train"]
    cameras = test.groupby("pid")["camid"].nunique()
    alone = set(cameras[cameras == 1].index)
    assert alone == set(test["pid"]) - set(test[test["split"] == "query"]["pid"])
    share = test["pid"].isin(alone).sum() / (
        (test["split"] == "gallery").sum() - test["pid"].isin(alone).sum()
    )
    assert share == pytest.approx(0.2, abs=0.08)
    assert {len(group) for _, group in test[test["pid"].isin(alone)].groupby("pid")} == {2}


@pytest.fixture
def occluded(written):
    root, table = written("occluded-duke")
    lists = {n: lines(root / f"Occluded_Duke/{n}.list") for n in ("train", "query", "gallery")}
    folders = {p.name: {f.name for f in p.iterdir()} for p in (root / "DukeMTMC-reID").iterdir()}
    return table, lists, folders


def test_occluded_lists_name_files_of_duke(occluded):
    table, lists, folders = occluded
    train, query, gallery = (lists[name] for name in ("train", "query", "gallery"))
    assert set(gallery) == folders["bounding_box_test"]
    assert set(train) < folders["bounding_box_train"]
    assert len(train) == len(folders["bounding_box_train"]) * 17 // 18 + 1
    assert set(query) <= folders["query"] | folders["bounding_box_test"]
    assert set(query) & set(gallery)
    assert set(query) - set(gallery)
    for name, listed in lists.items():
        assert len(set(listed)) == len(listed)
        assert sorted(in_split(table, name)["file"].map(lambda f: Path(f).name)) == sorted(listed)


def test_every_occluded_query_has_a_match_in_another_camera(occluded):
    _, lists, _ = occluded
    where = [(name[:4], name[5:7]) for name in lists["gallery"]]
    for query in lists["query"]:
        assert any(p == query[:4] and c != query[5:7] for p, c in where)


def test_every_occluded_query_is_occluded(occluded):
    """The same image without what stands before the person shows more of them."""
    table, _, _ = occluded
    rows = in_split(table, "query")
    keys = list(zip(rows["person"], rows["camera"], rows["index"], strict=True))
    world = WORLDS["occluded-duke"]
    people = range(1, PARTS.index("occluder"))
    now, bare = (
        np.isin(w.render(keys).masks, people) for w in (world, replace(world, occlusion=0))
    )
    assert len(keys) > 3
    assert np.all(now.sum(axis=(1, 2)) < 0.98 * bare.sum(axis=(1, 2)))


def test_a_query_that_the_pictures_do_not_bear_out_is_none(tmp_path):
    rows = [("a/1.jpg", "query", 0.0), ("a/2.jpg", "query+gallery", 0.0), ("a/3.jpg", "query", 0.1)]
    table = pd.DataFrame(rows, columns=["file", "split", "occluder_share"])
    told = occluded_duke.finish(tmp_path, WORLDS["occluded-duke"], table)
    assert told["split"].tolist() == ["unused", "gallery", "query"]
    assert lines(tmp_path / "Occluded_Duke/query.list") == ["3.jpg"]


# --- MSMT17 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "folders"), [("V1", ["test", "train"]), ("V2", ["mask_test_v2", "mask_train_v2"])]
)
def test_msmt17_lists(written, version, folders):
    root, table = written("msmt17", version=version)
    assert sorted(p.name for p in root.iterdir() if p.is_dir() and p.name != "masks") == folders
    lists = {n: lines(root / f"list_{n}.txt") for n in ("train", "val", "query", "gallery")}
    for name, listed in lists.items():
        pairs = [line.split(" ") for line in listed]
        assert all(int(file[:4]) == int(label) for file, label in pairs)
        folder = folders[name in ("train", "val")]
        assert all((root / folder / file).is_file() for file, _ in pairs)
        rows = table[table["split"] == name]
        assert sorted(f"{folder}/{file}" for file, _ in pairs) == sorted(rows["file"])
    assert sum(map(len, lists.values())) == len(files_below(root))
    people = {name: {int(line.split()[1]) for line in listed} for name, listed in lists.items()}
    assert people["train"] == people["val"] == set(range(4))
    assert people["query"] == people["gallery"] == set(range(12))
    assert len(lists["val"]) < 0.25 * len(lists["train"])


def test_msmt17_names_vary():
    world = suggested_world("msmt17", identities=60)
    names = [
        Path(e.file).name for e in LAYOUTS["msmt17"].entries(world, **LAYOUTS["msmt17"].options)
    ]
    assert len(set(names)) == len(names)
    assert np.mean([name.endswith("_ex.jpg") for name in names]) == pytest.approx(0.42, abs=0.03)
    moments = {re.match(r"\d+_\d+_\d+_(\d{4}[a-z]+)", name)[1] for name in names}
    days, times = ("0113", "0114", "0302", "0303"), ("morning", "noon", "afternoon")
    assert moments == {f"{d}{t}" for d, t in product(days, times)}
    assert {name.split("_")[2] for name in names} == {f"{c:02d}" for c in range(1, 16)}


# --- CUHK03 ---------------------------------------------------------------------------------------


@pytest.fixture
def archive(written):
    root, table = written("cuhk03-np")
    with h5py.File(root / "cuhk03_release/cuhk-03.mat") as file:
        yield file, table


def cells(file, name):
    """As the loaders of the real file do it: {(pair, person, slot): (H, W, 3)}, empty ones None."""
    found = {}
    for pair, of_pair in enumerate(file[name][0], start=1):
        grid = file[of_pair][:].T
        for person, row in enumerate(grid, start=1):
            for slot, reference in enumerate(row, start=1):
                image = file[reference][:].T
                found[pair, person, slot] = image if image.ndim == 3 else None
    return found


def test_cuhk03_archive_is_shaped_as_matlab_shapes_it(archive):
    file, _ = archive
    assert {"labeled", "detected", "testsets"} <= set(file)
    assert file["labeled"].shape == file["detected"].shape == (1, 5)
    assert file["testsets"].shape == (1, 20)
    assert file["labeled"].attrs["MATLAB_class"] == b"cell"
    assert [file[r].shape[0] for r in file["labeled"][0]] == [10] * 5
    empty = [file[r] for r in file[file["labeled"][0][0]][4]]
    assert all(e.attrs["MATLAB_empty"] == 1 and e.shape == (2,) and not e[:].any() for e in empty)
    raw = Path(file.filename).read_bytes()
    assert raw[:10] == b"MATLAB 7.3"
    assert raw[124:128] == b"\x00\x02IM"
    assert raw[512:520] == b"\x89HDF\r\n\x1a\n"


@pytest.mark.parametrize(("name", "jitter"), [("labeled", 0.0), ("detected", 1.0)])
def test_cuhk03_cells_hold_the_pictures(archive, name, jitter):
    file, table = archive
    held = {place: image for place, image in cells(file, name).items() if image is not None}
    rows = table[table["file"].str.contains(f"/{name}/")]
    assert len(held) == len(rows)
    told = [re.search(rf"{name}/(\d)_(\d+)_(\d)_(\d+)", f).groups() for f in rows["file"]]
    assert {(int(a), int(b), int(d)) for a, b, _, d in told} == set(held)
    assert all((int(view) == 1) == (int(slot) <= 5) for _, _, view, slot in told)
    keys = list(zip(rows["person"], rows["camera"], rows["index"], strict=True))[::7]
    pictures = WORLDS["cuhk03-np"].render(keys, jitter=jitter).images
    for (pair, person, _, slot), image in zip(told[::7], pictures, strict=True):
        np.testing.assert_array_equal(held[int(pair), int(person), int(slot)], image)


def test_cuhk03_boxes_differ_and_some_slots_are_empty():
    """Counted, not rendered: about the share of the real set, and nobody lacks a view."""
    world = suggested_world("cuhk03-np", identities=400)
    labeled, detected = (cuhk03.filled(world, boxes) for boxes in ("labeled", "detected"))
    assert set(labeled) != set(detected)
    for there in (labeled, detected):
        assert len(there) / 4000 == pytest.approx(0.96, abs=0.015)
        views = Counter((cell.pid, cell.view) for cell in there)
        assert len(views) == 800
        assert [cell.name for cell in there] == sorted(cell.name for cell in there)


def test_cuhk03_pairs_have_the_proportions_of_the_real_ones():
    assert cuhk03.pair_sizes(1467) == [843, 440, 77, 58, 49]
    for people in range(10, 60):
        sizes = cuhk03.pair_sizes(people)
        assert sum(sizes) == people
        assert min(sizes) >= 1


def test_cuhk03_test_sets(archive):
    file, _ = archive
    sizes = [file[r].shape[1] for r in file["labeled"][0]]
    seen = set()
    for reference in file["testsets"][0]:
        people = file[reference][:].T
        assert people.dtype == np.float64
        assert people.shape == (2, 2)  # a fifth of twelve people
        assert len({tuple(p) for p in people}) == 2
        assert all(1 <= person <= sizes[int(pair) - 1] for pair, person in people)
        seen.add(people.tobytes())
    assert len(seen) > 5


@pytest.mark.parametrize("form", ["mat", "images"])
@pytest.mark.parametrize("boxes", ["labeled", "detected"])
def test_cuhk03_new_protocol(written, form, boxes):
    root, table = written("cuhk03-np", form=form)
    config = loadmat(root / f"cuhk03_new_protocol_config_{boxes}.mat")
    names = [str(cell[0]) for cell in config["filelist"][:, 0]]
    parsed = [re.match(f"^{CUHK}$", name) for name in names]
    offsets = np.concatenate([[0], np.cumsum(cuhk03.pair_sizes(12))])
    labels = config["labels"][:, 0].tolist()
    assert labels == [offsets[int(m["pair"]) - 1] + int(m["person"]) for m in parsed]
    assert config["camId"][:, 0].tolist() == [int(m["cam"]) for m in parsed]
    train, query, gallery = (
        config[f"{n}_idx"][:, 0].astype(int) for n in ("train", "query", "gallery")
    )
    together = np.sort(np.concatenate([train, query, gallery]))
    assert together.tolist() == list(range(1, len(names) + 1))
    views = defaultdict(list)
    for i in query:
        views[labels[i - 1]].append(int(parsed[i - 1]["cam"]))
    assert all(sorted(seen) == [1, 2] for seen in views.values())
    assert len(views) == 12 - round(12 * 0.523)
    pairs = Counter((labels[i - 1], parsed[i - 1]["cam"]) for i in gallery)
    assert all(pairs[pid, view] >= 1 for pid in views for view in "12")
    assert not set(views) & {labels[i - 1] for i in train}
    told = table.set_index(table["file"].map(lambda f: Path(f).name))
    told = told[told["file"].str.contains(boxes)]
    for split, index in (("train", train), ("query", query), ("gallery", gallery)):
        assert {names[i - 1] for i in index} == set(told.index[told["split"] == split])


def test_cuhk03_converted_to_images(written):
    root, table = written("cuhk03-np", form="images")
    pattern = re.compile(f"^images_(labeled|detected)/{CUHK}$")
    assert all(pattern.match(file) for file in table["file"])
    assert files_below(root) == set(table["file"])
    sets = loadmat(root / "testsets.mat")["testsets"]
    assert sets.shape == (20, 1)
    expected = cuhk03.test_sets(WORLDS["cuhk03-np"])
    for mine, theirs in zip(sets[:, 0], expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_cuhk03_like_market(written):
    root, table = written("cuhk03-np", form="market")
    pattern = re.compile(
        r"^(labeled|detected)/(bounding_box_train|query|bounding_box_test)/(\d{4})_c(\d)_(\d+)\.png$"
    )
    for row in table.itertuples():
        match = pattern.match(row.file)
        assert (int(match[3]), int(match[4]) - 1) == (row.pid, row.camid)
    assert files_below(root) == set(table["file"])
    assert table["file"].is_unique


def test_both_names_of_cuhk03_write_the_same_folder(written):
    (np_root, _), (classic, _) = written("cuhk03-np"), written("cuhk03-classic")
    one, other = contents(np_root), contents(classic)
    for files in (one, other):
        files.pop("world.json")
    assert one == other


# --- VeRi-776 -------------------------------------------------------------------------------------


def test_veri_names_and_copies(written):
    root, _ = written("veri776")
    for name in ("train", "query", "test"):
        listed = lines(root / f"name_{name}.txt")
        assert (
            sorted(listed) == listed == sorted(p.name for p in (root / f"image_{name}").iterdir())
        )
    for query in lines(root / "name_query.txt"):
        copy = (root / "image_test" / query).read_bytes()
        assert (root / "image_query" / query).read_bytes() == copy


def test_veri_matches_are_those_of_the_market_rule(written):
    root, _ = written("veri776")
    test = lines(root / "name_test.txt")
    good, junk = lines(root / "gt_index.txt"), lines(root / "jk_index.txt")
    queries = lines(root / "name_query.txt")
    assert len(good) == len(junk) == len(queries)
    for query, right, wrong in zip(queries, good, junk, strict=True):
        same = [i for i, t in enumerate(test, start=1) if t[:4] == query[:4]]
        here = [i for i in same if test[i - 1][5:9] == query[5:9]]
        assert [int(i) for i in wrong.split()] == here
        assert [int(i) for i in right.split()] == [i for i in same if i not in here]
        assert test.index(query) + 1 in here
        assert right.split()


@pytest.mark.parametrize("name", ["train", "test"])
def test_veri_labels(written, name):
    root, _ = written("veri776")
    text = (root / f"{name}_label.xml").read_bytes().decode("gb2312")
    head, body = text.split("\n", 1)
    assert head == '<?xml version="1.0" encoding="gb2312"?>'
    items = ElementTree.fromstring(body).find("Items")
    listed = lines(root / f"name_{name}.txt")
    assert int(items.get("number")) == len(listed) == len(items)
    colours, kinds = (len(lines(root / f"list_{what}.txt")) for what in ("color", "type"))
    per_vehicle = defaultdict(set)
    for item, file in zip(items, listed, strict=True):
        told = item.attrib
        assert told["imageName"] == file
        assert f"{told['vehicleID']}_{told['cameraID']}_" == file[:10]
        assert 1 <= int(told["colorID"]) <= colours == 10
        assert 1 <= int(told["typeID"]) <= kinds == 9
        per_vehicle[told["vehicleID"]].add((told["colorID"], told["typeID"]))
    assert all(len(seen) == 1 for seen in per_vehicle.values())


def test_veri_tracks_and_views(written):
    root, table = written("veri776")
    tracks = [line.split() for line in lines(root / "test_track.txt")]
    assert sorted(name for track in tracks for name in track) == lines(root / "name_test.txt")
    assert all(len({name[:9] for name in track}) == 1 for track in tracks)
    views = dict(zip(table["file"], table["view"], strict=True))
    for name in ("train", "test"):
        rows = [line.split(" ") for line in lines(root / f"keypoint_{name}.txt")]
        assert {len(row) for row in rows} == {42}
        assert [row[0] for row in rows] == [
            f"image_{name}/{n}" for n in lines(root / f"name_{name}.txt")
        ]
        assert all(int(row[-1]) == views[row[0]] for row in rows)


def test_views_are_eighths_of_a_turn():
    """0 faces the camera, which is to walk against its line of sight: 180 degrees."""
    degrees = {180: 0, 200: 0, 160: 0, 203: 1, 225: 1, 270: 2, 315: 3, 0: 4, 350: 4, 45: 5, 90: 6,
               135: 7, 157: 7}  # fmt: skip
    radians = np.deg2rad([float(d) for d in degrees])
    assert truth.view(radians).tolist() == list(degrees.values())


def test_veri_knows_every_kind_and_paint():
    paints = pd.DataFrame({"colour": list(vehicles.PAINTS)})
    assert set(veri776._numbers(paints, "colour")) <= set(range(1, 11))
    kinds = pd.DataFrame({"kind": list(vehicles.KINDS)})
    assert veri776._numbers(kinds, "kind") == [1, 9, 3, 6, 7, 8]


# --- RandPerson -----------------------------------------------------------------------------------


def test_randperson_counts_cameras_over_scenes(written):
    _, table = written("randperson")
    offsets = [0, 2, 4, 6, 8, 9, 10, 12, 13, 14, 15]
    for row in table.itertuples():
        scene, camera = re.search(r"_s(\d+)_c(\d+)_", row.file).groups()
        assert offsets[int(scene)] + int(camera) == row.camid
        assert row.pid == row.person - 1
    assert set(table["split"]) == {"train"}
    assert table["camid"].max() == 8


def test_randperson_fills_all_scenes_and_knows_the_old_order():
    world = suggested_world("randperson", identities=30, cameras=19)
    new, old = (
        [e.file for e in LAYOUTS["randperson"].entries(world, order=order)]
        for order in ("scene-camera", "camera-scene")
    )
    cameras = Counter(
        scene for scene, _ in {re.search(r"_s(\d+)_c(\d+)_", f).groups() for f in new}
    )
    assert list(dict(sorted(cameras.items())).values()) == [2, 2, 2, 2, 1, 1, 2, 1, 1, 1, 4]
    assert old == [re.sub(r"_(s\d+)_(c\d+)_", r"_\2_\1_", f) for f in new]
    assert all(re.match(r"^randperson_subset/\d{6}_c\d{2}_s\d{2}_f\d{6}\.jpg$", f) for f in old)


# --- SYSU-MM01 ------------------------------------------------------------------------------------


def sysu_lists(root):
    texts = {n: lines(root / f"exp/{n}_id.txt") for n in ("train", "val", "test", "available")}
    assert all(len(text) == 1 for text in texts.values())
    return {name: [int(i) for i in text[0].split(",")] for name, text in texts.items()}


def test_sysu_splits(written):
    root, table = written("sysu-mm01")
    lists = sysu_lists(root)
    assert sorted(lists["train"] + lists["val"] + lists["test"]) == lists["available"]
    assert len(set(lists["available"])) == len(lists["available"])
    for name in ("train", "val"):
        assert set(table["pid"][table["split"] == name]) == set(lists[name])
    test = table[table["pid"].isin(lists["test"])]
    assert set(test["split"]) == {"query", "gallery"}
    np.testing.assert_array_equal(test["split"] == "query", test["modality"] == "infrared")


def test_sysu_cameras(written):
    root, table = written("sysu-mm01")
    cameras = table.groupby("pid")["camid"].agg(set)
    lists = sysu_lists(root)
    indoors = {pid for pid, seen in cameras.items() if seen & {0, 1}}
    assert all({0, 1} <= cameras[pid] for pid in indoors)
    for name in ("train", "val", "test"):
        inside = len(indoors & set(lists[name]))
        assert inside == max(1, round(len(lists[name]) * 56 / 96))
    assert set(table["camid"][table["modality"] == "infrared"]) == {2, 5}
    both = {pid for pid, seen in cameras.items() if seen & {2, 5} and seen & {0, 1, 3, 4}}
    assert both == set(lists["available"])
    frames = table.groupby(["camid", "pid"])["file"].apply(lambda f: sorted(n[-8:] for n in f))
    assert all(names == ["0001.jpg", "0002.jpg"] for names in frames)


def test_sysu_somebody_is_seen_in_one_modality_alone():
    world = suggested_world("sysu-mm01", identities=300)
    found = LAYOUTS["sysu-mm01"].entries(world, train_fraction=0.8)
    unused = {e.pid for e in found if e.split == "unused"}
    assert 0 < len(unused) < 30
    for pid in unused:
        cameras = {e.camid for e in found if e.pid == pid}
        assert cameras <= {2, 5} or cameras <= {0, 1, 3, 4}


def test_sysu_camera_3_hangs_in_the_room_of_camera_2(written):
    _, table = written("sysu-mm01")
    world = LAYOUTS["sysu-mm01"].adapt(WORLDS["sysu-mm01"])
    of = dict(zip(table["camid"], table["camera"], strict=True))
    assert [of[c] for c in range(6)] == [0, 1, 4, 2, 3, 5]
    scene = world.all_cameras
    for column in ("box_centre", "backdrop", "floor_kind", "height"):
        values = getattr(scene, column)
        np.testing.assert_array_equal(values[of[1]], values[of[2]])
    assert not np.array_equal(scene.box_centre[of[1]], scene.box_centre[of[5]])
    # Not at the same instants: nobody has the same pose there.
    poses = table.groupby(["person", "camid"])["phase"].apply(set)
    for pid in set(table["person"][table["camid"] == 1]):
        assert not poses.get((pid, 1)) & poses.get((pid, 2), set())


def test_sysu_permutations(written):
    root, _ = written("sysu-mm01")
    cell = loadmat(root / "exp/rand_perm_cam.mat")["rand_perm_cam"]
    assert cell.shape == (6, 1)
    different = set()
    for camera in range(6):
        assert cell[camera, 0].shape == (20, 1)
        for pid in range(1, 21):
            folder = root / f"cam{camera + 1}" / f"{pid:04d}"
            images = len(list(folder.iterdir())) if folder.is_dir() else 0
            rows = cell[camera, 0][pid - 1, 0]
            assert rows.shape == ((10, images) if images else (0, 0))
            for row in rows:
                assert sorted(row) == list(range(1, images + 1))
                different.add(tuple(row))
    assert different == {(1, 2), (2, 1)}


# --- RegDB ----------------------------------------------------------------------------------------


def test_regdb_pairs_are_taken_at_the_same_instant(written):
    root, table = written("regdb")
    table["frame"] = table["file"].str.extract(r"_[vt]_(\d{5})_")
    sides = [table[table["camid"] == c].sort_values(["pid", "frame"]) for c in (0, 1)]
    visible, thermal = sides
    assert len(visible) == len(thermal) == 27
    for column in ("pid", "frame", "azimuth", "phase"):
        np.testing.assert_array_equal(visible[column], thermal[column])
    assert set(visible["modality"]) == {"visible"}
    assert set(thermal["modality"]) == {"infrared"}
    for one, other in zip(visible["file"], thermal["file"], strict=True):
        assert other == one.replace("Visible", "Thermal").replace("_v_", "_t_")
        masks = [
            np.asarray(Image.open((root / "masks" / f).with_suffix(".png"))) for f in (one, other)
        ]
        np.testing.assert_array_equal(*masks)  # this world has no jitter
        pixels = [np.asarray(Image.open(root / f)).astype(int) for f in (one, other)]
        assert np.ptp(pixels[1], axis=2).max() == 0
        assert np.ptp(pixels[0], axis=2).max() > 10


def test_regdb_names_tell_the_side(written):
    _, table = written("regdb")
    front = np.cos(np.deg2rad(table["azimuth"])) < 0
    np.testing.assert_array_equal(table["file"].str.contains("_front_"), front)
    words = table["file"].str.extract(r"/(male|female)_(front|back)")
    assert words.groupby(table["pid"]).nunique().eq(1).all(axis=None)
    women = table["bottom"].str.contains("skirt") | (table["hair"] == "long")
    np.testing.assert_array_equal(words[0] == "female", women)


def test_regdb_ten_splits(written):
    root, table = written("regdb")
    halves = set()
    for trial in range(1, 11):
        people = {}
        for part, modality in product(("train", "test"), ("visible", "thermal")):
            pairs = [line.split(" ") for line in lines(root / f"idx/{part}_{modality}_{trial}.txt")]
            assert all((root / file).is_file() for file, _ in pairs)
            assert all(file.startswith(modality.capitalize()) for file, _ in pairs)
            labels = {int(file.split("/")[1]): int(label) for file, label in pairs}
            assert sorted(labels.values()) == list(range(len(labels)))
            assert len(pairs) == 3 * len(labels)
            assert labels == people.setdefault(part, labels)
        assert len(people["train"]) == 4
        assert set(people["train"]) | set(people["test"]) == set(range(1, 10))
        assert not set(people["train"]) & set(people["test"])
        halves.add(tuple(sorted(people["train"])))
        if trial == 1:
            trained = table[table["split"] == "train"]
            assert set(trained["pid"]) == set(people["train"])
    assert len(halves) > 5
    tested = table[table["split"] != "train"]
    np.testing.assert_array_equal(tested["split"] == "query", tested["modality"] == "visible")


def test_regdb_sees_heat_where_the_world_knows_it():
    world = regdb.adapt(WORLDS["regdb"])
    assert world.twins == ((1, 0),)
    assert getattr(world, "infrared", "thermal") == "thermal"


# --- PKU-Reid -------------------------------------------------------------------------------------


def test_pku_pictures_are_taken_from_that_orientation(written):
    """1 walks to the left of the picture, 3 away, 5 to the right, 7 towards us."""
    _, table = written("pku-reid")
    orientation = table["file"].str.extract(r"_(\d)\.png")[0].astype(int)
    expected = {7: 180, 8: 225, 1: 270, 2: 315, 3: 0, 4: 45, 5: 90, 6: 135}
    assert [expected[o] for o in orientation] == table["azimuth"].tolist()


def test_pku_test_copies(written):
    root, table = written("pku-reid")
    folders = {n: {f[len(n) + 5 :] for f in files_below(root) if f.startswith(f"val/{n}/")}
               for n in ("all_imgs", "query", "gallery")}  # fmt: skip
    assert folders["query"] | folders["gallery"] == folders["all_imgs"]
    people = {file[:3] for file in folders["all_imgs"]}
    assert len(people) == 10 - round(10 * 62 / 74)
    assert {file[:3] for file in folders["query"]} == people
    for name in ("query", "gallery"):
        for file in folders[name]:
            assert (root / f"val/{name}" / file).read_bytes() == (
                root / f"val/all_imgs/{file}"
            ).read_bytes()
    assert table["split"].value_counts()["all_imgs"] == 16 * len(people)


def test_pku_copies_have_the_proportions_of_the_published_folder():
    world = suggested_world("pku-reid", identities=400)
    found = LAYOUTS["pku-reid"].entries(world, form="la-tf-pp", train_fraction=0.5)
    images = defaultdict(set)
    for entry in found:
        images[entry.split].add((entry.pid, entry.key))
    both = images["query"] & images["gallery"]
    assert len(images["query"]) / len(images["all_imgs"]) == pytest.approx(28 / 192, abs=0.02)
    assert len(both) / len(images["query"]) == pytest.approx(17 / 28, abs=0.08)
    per_person = Counter(pid for pid, _ in images["query"])
    assert (min(per_person.values()), max(per_person.values())) == (1, 5)


def test_pku_release(written):
    root, table = written("pku-reid", form="57-57")
    pattern = re.compile(r"^(train|test)/(\d{3})_(0[12])_([1-8])\.png$")
    for row in table.itertuples():
        match = pattern.match(row.file)
        assert (int(match[2]), int(match[3]) - 1) == (row.pid, row.camid)
        assert row.split == {"train": "train", "test": "query+gallery"}[match[1]]
    people = table.groupby("split")["pid"].nunique()
    assert people.tolist() == [5, 5]
    assert (root / table["file"][0]).read_bytes()[:2] == b"\xff\xd8"


# --- a folder of one's own ------------------------------------------------------------------------


def test_folder_has_a_table(written):
    root, table = written("folder")
    told = pd.read_csv(root / "images.csv")
    assert told.columns.tolist() == ["path", "pid", "camid", "split", "modality", "view"]
    for row in told.itertuples():
        person, camera, _ = row.path.split("/")
        assert (int(person), int(camera)) == (row.pid, row.camid)
        assert (root / row.path).is_file()
    assert set(told["path"]) == files_below(root)
    assert told["view"].between(0, 7).all()
    queries = told[told["split"] == "query"]
    assert not queries.duplicated(["pid", "camid"]).any()
    assert set(table["split"]) == {"train", "query", "gallery"}


# --- orientations and twins -----------------------------------------------------------------------


def test_a_turn_of_a_person_ends_where_it_began():
    world = World(seed=1, orientations=8, resolution=(32, 16))
    truth = world.render([(1, 0, index) for index in range(9)]).truth
    assert truth["azimuth"].tolist() == [180, 225, 270, 315, 0, 45, 90, 135, 180]


def test_twins_share_the_instant_and_nothing_of_the_lens():
    knobs = {"seed": 1, "cameras": 2, "infrared_cameras": 1, "resolution": (32, 16), "occlusion": 1}
    plain, twins = World(**knobs), World(**knobs, twins=((2, 1),))
    keys = [(1, 1, 0), (1, 2, 0), (2, 1, 0), (2, 2, 0)]
    cameras = twins.all_cameras.take(np.array([camid for _, camid, _ in keys]))
    shots = twins.shots(keys, cameras)
    for name in ("distance", "aside", "azimuth", "occluder"):
        values = getattr(shots, name)
        np.testing.assert_array_equal(values[::2], values[1::2])
    for name in ("shift", "zoom", "exposure", "noise"):
        values = getattr(shots, name)
        assert not np.any(values[::2] == values[1::2])
    visible, alone = twins.render(keys[::2]), plain.render(keys[::2])
    np.testing.assert_array_equal(visible.images, alone.images)  # the other camera is as it was
    assert twins.fingerprint() != plain.fingerprint()
    assert World(**knobs, twins=[[2, 1]]) == twins


@pytest.mark.parametrize("twins", [((1, 0),), ((2, 2),), ((3, 0),), ((2, -1),), ((2, 0), (2, 1))])
def test_twins_are_an_infrared_and_a_visible_camera(twins):
    with pytest.raises(ValueError, match="twins="):
        World(cameras=2, infrared_cameras=1, twins=twins)
