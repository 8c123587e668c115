"""RandPerson's subset: `randperson_subset/000000_s00_c00_f000264.jpg`, to train on alone.

Person, scene, camera of the scene, frame, all from 0. The first release wrote the camera before the
scene; `order="camera-scene"` writes these names.
"""

from __future__ import annotations

from bisect import bisect_right

from reidlab.synth.layout import base
from reidlab.synth.world import World

OPTIONS = {"order": "scene-camera"}
SUGGESTED = {"cameras": 9, "images_per_camera": 2, "resolution": (128, 64), "style": "random"}
FIRST = (0, 2, 4, 6, 8, 9, 10, 12, 13, 14, 15)  # camera of each scene, counted over all scenes
CAMERAS = 19
_ORDERS = {
    "scene-camera": "s{scene:02d}_c{camera:02d}",
    "camera-scene": "c{camera:02d}_s{scene:02d}",
}
_STEP = 24  # frames: one a second


def check(world: World, *, order: str) -> None:
    """Nineteen visible cameras at most."""
    base.expect_choice("order", order, _ORDERS)
    base.expect_room(world, people=1_000_000, cameras=CAMERAS)
    base.expect_knob(world, "infrared_cameras", 0, 0, "as all cameras are visible ones")
    base.expect_knob(world, "images_per_camera", 1, 1000, "as frames have six digits")


def entries(world: World, *, order: str) -> list[base.Entry]:
    """One flat folder."""
    found = []
    for person, camids in world.visits(list(range(1, world.identities + 1))).items():
        for camid in camids:
            scene = bisect_right(FIRST, camid) - 1
            place = _ORDERS[order].format(scene=scene, camera=camid - FIRST[scene])
            for index in range(world.images_per_camera):
                frame = _STEP * ((person * 89 + camid * 7) % 40_000 + index)
                file = f"randperson_subset/{person - 1:06d}_{place}_f{frame:06d}.jpg"
                found.append(base.Entry(file, "train", (person, camid, index), person - 1, camid))
    return found
