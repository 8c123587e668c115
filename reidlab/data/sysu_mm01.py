"""SYSU-MM01: visible and infrared cameras, a gallery that is drawn anew in each of ten trials.

Wu, Zheng, Yu, Gong, Lai, "RGB-Infrared Cross-Modality Person Re-Identification", ICCV 2017. A path
such as `cam1/0006/0001.jpg` reads: camera 1, person 6, image 1. Cameras 1, 2, 4 and 5 are visible,
3 and 6 infrared. One trains on the ids of train_id and val_id together; queries are all infrared
images of the test ids; the gallery is one (or ten) visible images of each test id and camera, drawn
from the pool of all of them. Indoor search draws from cameras 1 and 2 only.

Two ways of drawing are in use. "agw" is that of Ye et al. ("Deep Learning for Person
Re-identification: A Survey and Outlook", TPAMI 2021) and nearly everyone after them: Python's
random numbers with the trial as seed, while walking over ids and cameras. "official" takes the
permutations in rand_perm_cam.mat. Their results differ a little.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reidlab.data.cards import CARDS
from reidlab.data.dataset import Findings, Image, ReIDDataset, finish, some, table
from reidlab.data.errors import DatasetError
from reidlab.data.folders import (
    existing_folder,
    has_all,
    images_of_people,
    leave_out,
    listing,
    wrong_root,
)
from reidlab.data.lists import read_numbers, report_absent
from reidlab.data.matlab import load_matlab5, whole_numbers
from reidlab.data.options import choose
from reidlab.data.spelling import plain_id
from reidlab.data.synthetic import world_folder
from reidlab.evaluation import sysu_gallery

CAMERAS = range(1, 7)
INFRARED = (3, 6)
GALLERY = {"all": (1, 2, 4, 5), "indoor": (1, 2)}
TRAIN_IDS, TEST_IDS = ("train_id", "val_id"), ("test_id",)
TRIALS, SHOTS, DRAWS = range(10), (1, 10), ("agw", "official")
PERSON = re.compile(r"\d{3,4}", re.ASCII)
NAME = re.compile(r"(?P<pid>\d{3,4})/\d{3,5}\.jpg", re.ASCII)
EXAMPLE = "cam1/0006/0001.jpg"
PERMUTATIONS = "rand_perm_cam.mat"

IntArray = NDArray[np.int64]
Visit = tuple[int, int]  # person and camid


def open_sysu_mm01(
    root: str | Path,
    *,
    mode: str = "all",
    shots: int = 1,
    trial: int | None = 0,
    draw: str = "agw",
) -> ReIDDataset:
    """Read one trial, or the pool that trials draw from.

    Args:
        root: the folder that holds cam1 to cam6 and exp.
        mode: "all" or "indoor" search.
        shots: gallery images of each person and camera, 1 or 10.
        trial: 0 to 9, or None: the gallery is the whole pool. Embed that once and take the rows of
            each trial by `draw_gallery`.
        draw: "agw" or "official", see above. Ten shots by "agw" are `random.sample` in the same
            walk (ours: AGW draws one).
    """
    mode = choose("sysu-mm01", "mode", mode, tuple(GALLERY))
    shots = choose("sysu-mm01", "shots", shots, SHOTS)
    trial = choose("sysu-mm01", "trial", trial, (*TRIALS, None))
    draw = choose("sysu-mm01", "draw", draw, DRAWS)
    folder = _root(root)
    found = Findings(folder, EXAMPLE)
    _report_cameras(folder, found)
    train_ids, train_lists = _ids(folder, TRAIN_IDS, found)
    test_ids, test_lists = _ids(folder, TEST_IDS, found)
    _check_disjoint(folder, train_ids, test_ids)
    train = _images(folder, CAMERAS, train_ids, found)
    test = _images(folder, CAMERAS, test_ids, found)
    query = _of_cameras(test, INFRARED)
    pool = _of_cameras(test, GALLERY[mode])
    _look_at_the_rest(folder, {*train_ids, *test_ids}, test, found)
    _report_absent(train_ids, [train], "train", found)
    _report_absent(test_ids, [query, pool] if mode == "all" else [query], "test", found)
    gallery = _gallery(folder, pool, trial, shots, draw, found)
    return finish(
        "sysu-mm01",
        found,
        {"train": train, "query": query, "gallery": gallery},
        options={"mode": mode, "shots": shots, "trial": trial, "draw": draw},
        protocol="sysu",
        lists=train_lists + test_lists + ([_permutations(folder)] if draw == "official" else []),
    )


def draw_gallery(ds: ReIDDataset, trial: int) -> IntArray:
    """Rows of the pool that a trial draws, for a set opened with `trial=None`.

    Returns:
        Positions in `ds.gallery`, rising, by the set's `shots` and `draw`: evaluating the rows of
        trial t is what `open_dataset("sysu-mm01", root, trial=t)` gives.

    Raises:
        DatasetError: the set was opened for one trial, or is another one, or trial is not 0 to 9.
    """
    if ds.name != "sysu-mm01" or ds.options["trial"] is not None:
        raise DatasetError(
            f"{ds!r} is no pool to draw from: open_dataset('sysu-mm01', root, trial=None) is"
        )
    trial = choose("sysu-mm01", "trial", trial, TRIALS)
    return _drawn(ds.root, ds.gallery, trial, ds.options["shots"], ds.options["draw"])


def galleries(ds: ReIDDataset, trials: int | None = None) -> list[IntArray]:
    """Rows of `ds.gallery` of each trial: the first `trials` draws from a pool (ten by default), or
    all rows of a gallery that the reader has drawn."""
    if ds.options["trial"] is not None:
        return [np.arange(len(ds.gallery))]
    return [draw_gallery(ds, trial) for trial in range(len(TRIALS) if trials is None else trials)]


def _root(root: str | Path) -> Path:
    """The root, with the ids and at least one camera of each kind."""
    folder = existing_folder("sysu-mm01", root)
    whole = (*(f"cam{camera}" for camera in CAMERAS), "exp")
    kinds = {camera in INFRARED for camera in _cameras(folder)}
    if not has_all(folder, ("exp",)) or len(kinds) < 2:
        raise wrong_root("sysu-mm01", folder, whole)
    return folder


def _cameras(folder: Path) -> list[int]:
    return [camera for camera in CAMERAS if (folder / f"cam{camera}").is_dir()]


def _report_cameras(folder: Path, found: Findings) -> None:
    """Cameras that are missing, and folders that look like cameras and are none."""
    missing = sorted(set(CAMERAS) - set(_cameras(folder)))
    if missing:
        found.warnings.append(
            f"the folders {some((f'cam{camera}' for camera in missing), 6)} are missing: nothing "
            "was seen by these cameras"
        )
    known = {f"cam{camera}" for camera in CAMERAS}
    like = [name for name in listing(folder).folders if name.lower().startswith("cam")]
    leave_out(found, folder, sorted(set(like) - known))


def _ids(folder: Path, names: Iterable[str], found: Findings) -> tuple[list[int], list[Path]]:
    """The ids of some lists in exp, as text or, failing that, .mat; and the files they are from."""
    ids: list[int] = []
    files = []
    for name in names:
        path = folder / "exp" / f"{name}.txt"
        if path.is_file() or not path.with_suffix(".mat").is_file():
            ids += read_numbers(path, found)
        else:
            path = path.with_suffix(".mat")
            (array,) = load_matlab5(path, "id")
            ids += whole_numbers(path, "id", array).ravel().tolist()
        files.append(path)
    return ids, files


def _check_disjoint(folder: Path, train: list[int], test: list[int]) -> None:
    both = sorted(set(train) & set(test))
    if both:
        raise DatasetError(
            f"{len(both)} people are both in the training and in the test lists of "
            f"{folder / 'exp'}, e.g. {some(both, 5)}: results would mean nothing. Take the "
            "published lists"
        )


def _images(
    folder: Path, cameras: Iterable[int], pids: Iterable[int], found: Findings
) -> pd.DataFrame:
    """All images of some people in some cameras."""
    wanted = set(map(str, pids))
    rows = []
    for camera in sorted(set(cameras) & set(_cameras(folder))):
        modality = "infrared" if camera in INFRARED else "visible"
        matches = images_of_people(folder / f"cam{camera}", PERSON, NAME, found, wanted)
        rows += [Image(path, int(name["pid"]), camera - 1, modality) for path, name in matches]
    return table(rows)


def _of_cameras(images: pd.DataFrame, cameras: Iterable[int]) -> pd.DataFrame:
    camids = [camera - 1 for camera in cameras]
    return images[images["camid"].isin(camids)].reset_index(drop=True)


def _look_at_the_rest(folder: Path, listed: set[int], test: pd.DataFrame, found: Findings) -> None:
    """The images that this opening does not use: those of people in no list, and those of the test
    people that are not drawn, of which a whole copy has a known number."""
    rest = Findings(found.root, found.example)
    for camera in _cameras(folder):
        people = {plain_id(name) for name in listing(folder / f"cam{camera}").folders}
        others = people - set(map(str, listed))
        images_of_people(folder / f"cam{camera}", PERSON, NAME, rest, others)
    found.images += rest.images
    pool = CARDS["sysu-mm01"].counts(trial=None, mode="all")
    held = len(_of_cameras(test, GALLERY["all"]))
    if world_folder(folder) is None and pool is not None and held != pool["gallery"].images:
        found.warnings.append(
            f"the visible test images, from which galleries are drawn, are {held:,}; published are "
            f"{pool['gallery'].images:,}. Is the copy complete?"
        )


def _report_absent(
    pids: list[int], frames: list[pd.DataFrame], split: str, found: Findings
) -> None:
    """People of a list without any image; an error if that is all of them."""
    seen = set(pd.concat([frame["pid"] for frame in frames]))
    if seen.isdisjoint(pids):
        raise DatasetError(
            f"none of the {len(pids)} people of the {split} list has an image in {found.root}, "
            f"expected files like {EXAMPLE}. Was the unpacking interrupted? Do it again"
        )
    report_absent(f"the {split} list", pids, seen, found)


def _gallery(
    folder: Path, pool: pd.DataFrame, trial: int | None, shots: int, draw: str, found: Findings
) -> pd.DataFrame:
    """The pool, or what a trial draws from it."""
    sizes = pool.groupby(["pid", "camid"]).size()
    few = int((sizes < shots).sum())
    if few:
        found.warnings.append(
            f"{few} of {len(sizes)} folders of a person and a camera hold fewer than {shots} "
            "images; all of them are in the gallery"
        )
    if trial is None:
        return pool
    return pool.iloc[_drawn(folder, pool, trial, shots, draw)].reset_index(drop=True)


def _drawn(folder: Path, pool: pd.DataFrame, trial: int, shots: int, draw: str) -> IntArray:
    """Positions in the pool. Its rows are in path order, so an image's place among those of its
    person and camera is its place in the sorted folder."""
    pids, camids = pool["pid"].to_numpy(), pool["camid"].to_numpy()
    if draw == "agw":
        return sysu_gallery(pids, camids, trial, shots=shots)
    places: dict[Visit, list[int]] = defaultdict(list)
    for place, visit in enumerate(zip(pids.tolist(), camids.tolist(), strict=True)):
        places[visit].append(place)
    order = _official_order(_permutations(folder), places, trial)
    rows = [images[i] for visit, images in places.items() for i in order[visit][:shots]]
    return np.sort(np.array(rows, np.int64))


def _permutations(folder: Path) -> Path:
    """Where rand_perm_cam.mat lies."""
    for path in (folder / "exp" / PERMUTATIONS, folder / PERMUTATIONS):
        if path.is_file():
            return path
    raise DatasetError(
        f"draw='official' needs {PERMUTATIONS} in {folder / 'exp'}: it comes with the authors' "
        "evaluation code (github.com/wuancong/SYSU-MM01). Put it there, or pass draw='agw'"
    )


def _official_order(
    path: Path, places: Mapping[Visit, list[int]], trial: int
) -> dict[Visit, IntArray]:
    """For each (person, camid) the order, from 0, in which a trial takes its images."""
    (cameras,) = load_matlab5(path, PERMUTATIONS.removesuffix(".mat"))
    order = {}
    for (pid, camid), images in places.items():
        try:
            row = whole_numbers(path, PERMUTATIONS, cameras.ravel()[camid].ravel()[pid - 1])[trial]
        except (IndexError, AttributeError) as error:
            raise DatasetError(
                f"{path} has no permutation of trial {trial} for person {pid} in camera "
                f"{camid + 1} ({error}): expected a cell of cameras, each a cell of people, "
                "each 10 x n. Take the published file"
            ) from error
        if row.size != len(images):
            raise DatasetError(
                f"{path} orders {row.size} images of person {pid} in camera {camid + 1}, but the "
                f"folder holds {len(images)}: the copy is not complete, so the official draw "
                "cannot be made. Unpack the set again, or pass draw='agw'"
            )
        if not np.array_equal(np.sort(row), np.arange(1, row.size + 1)):
            raise DatasetError(
                f"{path} has no order of the images 1 to {row.size} for person {pid} in camera "
                f"{camid + 1} in trial {trial}, but numbers from {row.min()} to {row.max()} (they "
                "count from 1, each once). Take the published file, or pass draw='agw'"
            )
        order[pid, camid] = row - 1
    return order
