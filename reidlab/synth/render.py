"""Images of people in front of cameras: place, cast, shade, develop.

`render` is a function of (people, cameras, shots) row by row; see `raycast` for why its bytes do
not depend on how the work is cut.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import raycast
from .backdrop import paint
from .cameras import Cameras
from .film import develop
from .passers import Walks
from .people import People
from .raycast import NOTHING, SLOTS, TILE
from .scene import Scene
from .shading import shade_pixels
from .shots import Shots
from .stage import Stage

# Images cast together: on a CPU so few that they stay in its cache, elsewhere enough to fill it.
_GROUP = {"cpu": 8}
_LARGE_GROUP = 64

Bytes = NDArray[np.uint8]


def render(
    people: People,
    cameras: Cameras,
    shots: Shots,
    resolution: tuple[int, int],
    device: str | torch.device = "cpu",
    passers: tuple[People, Walks] | None = None,
) -> tuple[Bytes, Bytes]:
    """Render N images: row i shows `people[i]` seen by `cameras[i]`.

    Args:
        people: N rows.
        cameras: N rows.
        shots: N rows.
        resolution: (height, width) in pixels, multiples of four.
        device: where the rays are cast; bytes are promised to be equal on one device.
        passers: who else is in some of the images, and where.

    Returns:
        Images (N, height, width, 3) and part labels (N, height, width), both uint8.
    """
    device = torch.device(device)
    stage = Stage(people, cameras, shots, resolution, passers)
    group = _GROUP.get(device.type, _LARGE_GROUP)
    pairs = [
        _render_group(Scene(stage.lean(rows), rows, device))
        for rows in (slice(start, start + group) for start in range(0, len(people), group))
    ]
    images, masks = zip(*pairs, strict=True)
    return np.concatenate(images), np.concatenate(masks)


def _render_group(scene: Scene) -> tuple[Bytes, Bytes]:
    keys = raycast.visible(scene.rays, scene.shapes, scene.frames)  # (B, tiles, 64)
    half = TILE // 2
    # (B, tiles, 64) samples -> (pixels, 4): the four samples of a pixel side by side.
    quads = keys.reshape(*keys.shape[:2], half, 2, half, 2).permute(0, 1, 2, 4, 3, 5).reshape(-1, 4)
    colour, cover = shade_pixels(scene, quads)
    front, cover = _to_picture(scene, colour), _to_picture(scene, cover)[..., None]
    picture = front + (1.0 - cover) * paint(scene)
    nearest = quads[:, 0]  # the first of the four samples names the part
    slot = torch.where(nearest == NOTHING, 0, nearest & (SLOTS - 1)).to(torch.int64)
    label = torch.where(nearest == NOTHING, 0, scene.part[slot])
    mask = _to_picture(scene, label).to(torch.uint8)
    return develop(scene, picture).cpu().numpy(), mask.cpu().numpy()


def _to_picture(scene: Scene, x: Tensor) -> Tensor:
    """(pixels, …) in the order of tiles to (B, height, width, …)."""
    half = TILE // 2
    x = x.reshape(-1, scene.height // half, scene.width // half, half, half, *x.shape[1:])
    return x.transpose(2, 3).reshape(-1, scene.height, scene.width, *x.shape[5:])
