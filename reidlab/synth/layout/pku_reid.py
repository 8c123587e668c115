"""PKU-Reid: two cameras, eight orientations each; JPEG data under names that end in .png.

`form="la-tf-pp"` is the folder that LA-TF++ published, `train/009/02_7.png` being person 9, camera
2, orientation 7, with copies of test images as query and gallery, most queries in both.
`form="57-57"` is the release of the set itself, `train/009_02_7.png`, half of the people in each
folder. Orientation 1 is walking to the left, 3 seen from the back, 5 to the right, 7 to the front.
"""

from __future__ import annotations

from dataclasses import replace

from reidlab.synth.layout import base
from reidlab.synth.world import World

OPTIONS = {"form": "la-tf-pp", "train_fraction": None}
ORIENTATIONS = 8
SUGGESTED = {"cameras": 2, "images_per_camera": ORIENTATIONS, "resolution": (128, 48)}
ENCODING = "JPEG"
# By form: the share of the people to train on (62 of 74, 57 of 114).
_FRACTIONS = {"la-tf-pp": 62 / 74, "57-57": 0.5}
_QUERIES = 28 / 192  # of the test images
_ALONE = 11 / 28  # of the queries: those that are not in the gallery
_BOTH = "query+gallery"


def check(world: World, *, form: str, train_fraction: float | None) -> None:
    """Two cameras, eight images in each."""
    base.expect_choice("form", form, _FRACTIONS)
    base.expect_cameras(world, 2, 0, "as the set has them")
    base.expect_room(world, people=999, cameras=2)
    why = "one image per orientation"
    base.expect_knob(world, "images_per_camera", ORIENTATIONS, ORIENTATIONS, why)
    base.expect_fraction(world, _fraction(form, train_fraction))


def _fraction(form: str, train_fraction: float | None) -> float:
    return _FRACTIONS[form] if train_fraction is None else train_fraction


def adapt(world: World) -> World:
    """People turn on the spot."""
    return replace(world, orientations=ORIENTATIONS)


def entries(world: World, *, form: str, train_fraction: float | None) -> list[base.Entry]:
    """Sixteen images of everybody, and in the form "la-tf-pp" copies of some."""
    training = base.training_people(world, _fraction(form, train_fraction))
    people = range(1, world.identities + 1)
    if form == "57-57":
        return [
            base.Entry(f"{folder}/{pid:03d}_{name}", split, key, pid, key[1])
            for pid in people
            for folder, split in [("train", "train") if pid in training else ("test", _BOTH)]
            for name, key in _images(pid)
        ]
    found = [
        base.Entry(f"train/{pid:03d}/{name}", "train", key, pid, key[1])
        for pid in people
        if pid in training
        for name, key in _images(pid)
    ]
    for pid in (p for p in people if p not in training):
        copies = _copies(world, pid)
        for image, (name, key) in enumerate(_images(pid)):
            for split in ("all_imgs", *copies[image]):
                found.append(base.Entry(f"val/{split}/{pid:03d}/{name}", split, key, pid, key[1]))
    return found


def _images(pid: int) -> list[tuple[str, base.Key]]:
    """Name and key; the world's image 0 faces the camera, which is orientation 7."""
    return [
        (f"{camid + 1:02d}_{orientation}.png", (pid, camid, (orientation + 1) % ORIENTATIONS))
        for camid in range(2)
        for orientation in range(1, ORIENTATIONS + 1)
    ]


def _copies(world: World, pid: int) -> list[tuple[str, ...]]:
    """In which of query and gallery the images of a test person are as well."""
    draw, images = base.generator(world, base.COPY, pid), 2 * ORIENTATIONS
    queries = 1 + draw.binomial(4, (images * _QUERIES - 1) / 4)  # one to five
    chosen = {int(i): bool(draw.random() < _ALONE) for i in draw.permutation(images)[:queries]}
    parts = {None: ("gallery",), False: ("query", "gallery"), True: ("query",)}
    return [parts[chosen.get(image)] for image in range(images)]
