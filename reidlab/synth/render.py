"""Images of people or vehicles in front of cameras: place, cast, shade, develop.

`render` is a function of (people, cameras, shots) row by row; see `raycast` for why its bytes do
not depend on how the work is cut.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reidlab.synth import raycast
from reidlab.synth.backdrop import paint
from reidlab.synth.cameras import Cameras
from reidlab.synth.film import to_pixels
from reidlab.synth.passers import Walks
from reidlab.synth.people import People
from reidlab.synth.raycast import TILE
from reidlab.synth.scene import Scene
from reidlab.synth.shading import shade_pixels
from reidlab.synth.shots import Shots
from reidlab.synth.stage import Stage
from reidlab.synth.subject import Subject

# Pixels rendered at once: on a CPU so few that they stay in its cache, elsewhere enough to fill it.
_GROUP = {"cpu": 8 * 192 * 96}
_LARGE_GROUP = 256 * 192 * 96

Bytes = NDArray[np.uint8]


def render(
    people: Subject,
    cameras: Cameras,
    shots: Shots,
    resolution: tuple[int, int],
    device: str | torch.device = "cpu",
    passers: tuple[People, Walks] | None = None,
) -> tuple[Bytes, Bytes]:
    """Render N images: row i shows `people[i]` seen by `cameras[i]`.

    Args:
        people: N rows, of people or of vehicles.
        cameras: N rows.
        shots: N rows.
        resolution: (height, width) in pixels, multiples of four.
        device: where the rays are cast; bytes are promised to be equal on one device.
        passers: who else is in some of the images, and where.

    Returns:
        Images (N, height, width, 3) and part labels (N, height, width), both uint8.
    """
    device = torch.device(device)
    (height, width), count = resolution, len(people)
    stage = Stage(people, cameras, shots, resolution)
    parts = [(np.arange(count), stage)]
    if passers is not None:  # images with somebody else have twice the primitives: apart
        others, walks = passers
        alone = np.delete(np.arange(count), walks.rows)
        company = stage.take(walks.rows).joined(others, walks)
        parts = [(alone, stage.take(alone)), (walks.rows, company)]
    images = np.empty((count, height, width, 3), np.uint8)
    masks = np.empty((count, height, width), np.uint8)
    group = max(1, _GROUP.get(device.type, _LARGE_GROUP) // (height * width))
    for rows, part in parts:
        if not len(rows):
            continue
        scene = Scene(part, device)
        for start in range(0, len(rows), group):
            cut = slice(start, start + group)
            images[rows[cut]], masks[rows[cut]] = _render_group(scene.take(cut))
    return images, masks


def _render_group(scene: Scene) -> tuple[Bytes, Bytes]:
    sight = raycast.visible(scene.rays, scene.shapes, scene.frames)
    picture, cover = shade_pixels(scene, sight)
    picture.add_(paint(scene).mul_(1.0 - cover))
    return to_pixels(scene, picture).cpu().numpy(), _labels(scene, sight.keys).cpu().numpy()


def _labels(scene: Scene, keys: Tensor) -> Tensor:
    """(B, height, width) part that the first of each pixel's four samples sees."""
    half = TILE // 2
    first = keys.view(half, 2, half, 2, -1)[:, 0, :, 0].flatten()
    label = scene.part.index_select(0, raycast.slot_of(first))
    label = label.reshape(half, half, -1, scene.height // half, scene.width // half)
    return label.permute(2, 3, 0, 4, 1).reshape(-1, scene.height, scene.width)
