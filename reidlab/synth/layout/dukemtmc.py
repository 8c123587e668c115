"""DukeMTMC-reID: `query/0005_c2_f0046985.jpg` is person 5, camera 2, frame 46985.

No junk and no person 0: who distracts is somebody with an ordinary number, seen by one camera.
"""

from __future__ import annotations

from reidlab.synth.layout import base
from reidlab.synth.layout.market1501 import FOLDERS
from reidlab.synth.world import World

OPTIONS = {"train_fraction": 0.5, "distractors": 0.2}
SUGGESTED = {"cameras": 8, "images_per_camera": 2, "resolution": (128, 64)}
_STEP = 120  # the set keeps one frame of so many


def check(world: World, *, train_fraction: float, distractors: float) -> None:
    """Names tell 9999 people and 9 cameras."""
    base.expect_protocol(world)
    base.expect_fraction(world, train_fraction)
    base.expect_share("distractors", distractors)
    base.expect_room(
        world, people=9999, cameras=9, strangers=strangers(world, train_fraction, distractors)
    )


def strangers(world: World, train_fraction: float, distractors: float) -> int:
    """How many people are seen by one camera only, for `distractors` as a share of the gallery."""
    splits = [split for split, _ in base.standard_split(world, train_fraction)]
    return round(distractors * splits.count("gallery") / world.images_per_camera)


def entries(world: World, *, train_fraction: float, distractors: float) -> list[base.Entry]:
    """People in three folders."""
    found = [_entry(split, key) for split, key in base.standard_split(world, train_fraction)]
    for i in range(strangers(world, train_fraction, distractors)):
        person, camid = world.identities + 1 + i, i % world.total_cameras
        for index in range(world.images_per_camera):
            found.append(_entry("gallery", (person, camid, index)))
    return found


def _entry(split: str, key: base.Key) -> base.Entry:
    person, camid, index = key
    frame = _STEP * ((person * 37 + camid * 11) % 60_000 + index)
    name = f"{person:04d}_c{camid + 1}_f{frame:07d}.jpg"
    return base.Entry(f"{FOLDERS[split]}/{name}", split, key, person, camid)
