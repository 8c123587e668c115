"""Market-1501: `bounding_box_train/0002_c1s1_000451_03.jpg` is person 2, camera 1, frame 451."""

from __future__ import annotations

from reidlab.synth.layout import base
from reidlab.synth.world import World

OPTIONS = {"train_fraction": 0.6, "junk": 0.1, "distractors": 0.2}
SUGGESTED = {"cameras": 6, "images_per_camera": 2, "resolution": (128, 64)}
FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
_STRANGER = 10_000_000  # distractors are people from here on: nobody's identity
_JUNK_JITTER = 7.0


def check(world: World, *, train_fraction: float, junk: float, distractors: float) -> None:
    """Names tell 9999 people and 9 cameras."""
    base.expect_protocol(world)
    base.expect_room(world, people=9999, cameras=9)
    base.expect_fraction(world, train_fraction)
    base.expect_share("junk", junk)
    base.expect_share("distractors", distractors)


def entries(
    world: World, *, train_fraction: float, junk: float, distractors: float
) -> list[base.Entry]:
    """People in three folders; junk is -1 and distractors are 0, both in the gallery."""
    found = [
        _entry(split, key[0], key) for split, key in base.standard_split(world, train_fraction)
    ]
    gallery = [entry for entry in found if entry.split == "gallery"]
    found = [entry for entry in found if entry.split != "gallery"] + gallery
    for i in range(round(junk * len(gallery))):  # a bad box around somebody of the gallery
        pid, camid, _ = gallery[(i * 7919) % len(gallery)].key
        found.append(_entry("gallery", -1, (pid, camid, 1000 + i), _JUNK_JITTER))
    for i in range(round(distractors * len(gallery))):
        found.append(_entry("gallery", 0, (_STRANGER + i, i % world.total_cameras, 0)))
    return found


def _entry(split: str, pid: int, key: base.Key, jitter: float = 1.0) -> base.Entry:
    person, camid, index = key
    # Unique within a label and a camera: junk and distractors are told apart by their number alone.
    frame = index * 7 if pid < 0 else (person % _STRANGER) * 25 + index * 7
    label = "-1" if pid < 0 else f"{pid:04d}"
    name = f"{label}_c{camid + 1}s1_{frame:06d}_{index % 99 + 1:02d}.jpg"
    return base.Entry(f"{FOLDERS[split]}/{name}", split, key, pid, camid, jitter)
