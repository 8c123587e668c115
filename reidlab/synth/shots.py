"""What is peculiar to one image: where somebody stands, how they move, how the box is wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidlab.synth.body import Pose
from reidlab.synth.cameras import Cameras
from reidlab.synth.columns import Columns
from reidlab.synth.draws import IMAGE, Array, Draws, Keys

OCCLUDERS = 2  # things that may stand before a person
_PASSERS = 0.35  # share of hidden people who are hidden by somebody
NOISE_PLACES = 1 << 20  # where in the noise bank an image may begin to read


@dataclass(frozen=True)
class Shots(Columns):
    """N images as columns."""

    distance: Array  # (N,) share between the camera's nearest and farthest distance
    aside: Array  # (N,) share of the camera's side range, -1..1
    azimuth: Array  # (N,) rad, facing direction against the camera's line of sight
    pose: Pose
    shift: Array  # (N, 2) of the box, as a share of its height
    zoom: Array  # (N,) of the box
    exposure: Array  # (N,)
    occluder: Array  # (N, OCCLUDERS, 5) present, metres aside, half width, half height, in front
    passer: NDArray[np.bool_]  # (N,) a passer-by stands before or beside the person
    noise: NDArray[np.int64]  # (N,) where in the noise bank


def sample_shots(
    seed: int, keys: Keys, cameras: Cameras, *, pose: float, jitter: float, occlusion: float
) -> Shots:
    """Draw the images `keys` = (identity, camera, index); `cameras` holds one row per image.

    Args:
        seed: the world's seed.
        keys: one per image; equal keys are the same image.
        cameras: N rows.
        pose: multiplies how far arms, legs and heads move.
        jitter: multiplies the detector's shift and scale of the box.
        occlusion: probability that something stands before the person.
    """
    d = Draws(seed, IMAGE, keys, 60)
    turn = cameras.azimuth + np.where(d.chance(0.5), np.pi, 0.0) + d.around(0.0, cameras.spread * 2)
    poses = sample_poses(d, pose)
    occluder, distance = _occluders(d, occlusion), d.uniform()
    depth = cameras.near[:, 0] + distance * (cameras.near[:, 1] - cameras.near[:, 0])
    occluder = in_sight(occluder, cameras.height, depth)
    shots = Shots(
        distance=distance,
        aside=d.uniform(-1.0, 1.0),
        azimuth=turn,
        pose=poses,
        shift=np.stack([d.around(0.0, 0.05), d.around(0.0, 0.05)], axis=1) * jitter,
        zoom=1.0 + d.around(0.03, 0.10) * jitter,
        exposure=d.around(1.0, 0.12),
        occluder=occluder,
        noise=(d.uniform() * NOISE_PLACES).astype(np.int64),
        passer=(occluder[:, 0, 0] > 0) & d.chance(_PASSERS),
    )
    occluder[shots.passer, 0, 0] = 0.0  # the passer-by instead of the first thing
    return shots


def in_sight(occluder: Array, height: Array, depth: Array) -> Array:
    """Occluders (N, OCCLUDERS, 5) that rise above the line from a camera down to somebody's feet.

    Args:
        occluder: as in `Shots`.
        height: (N,) of the camera, m.
        depth: (N,) of whoever it looks at, m.
    """
    out = occluder.copy()
    hidden_part = height[:, None] * out[..., 4] / depth[:, None]
    out[..., 3] = np.maximum(out[..., 3], 0.5 * hidden_part + 0.15)
    return out


def sample_poses(d: Draws, pose: float) -> Pose:
    """N poses. Most people walk, some stand; a fifth of them bend one arm or both."""
    walking = np.where(d.chance(0.85), 1.0, 0.12)
    holding = d.chance(0.22)[:, None] * np.stack([d.chance(0.6), d.chance(0.6)], axis=1)
    bend = np.stack([d.uniform(0.7, 1.7), d.uniform(0.7, 1.7)], axis=1) * holding * pose
    return Pose(
        phase=d.uniform(0.0, 2 * np.pi),
        swing=d.uniform(0.25, 0.58) * pose * walking,
        arm_swing=d.uniform(0.2, 0.6) * pose * walking,
        elbow=bend,
        raise_arm=0.25 * bend,
        spread=np.stack([d.uniform(0.05, 0.24), d.uniform(0.05, 0.24)], axis=1),
        lean=d.around(0.03, 0.06) * pose,
        head_yaw=d.around(0.0, 0.7) * pose,
        head_pitch=d.around(-0.05, 0.35) * pose,
    )


def _occluders(d: Draws, occlusion: float) -> Array:
    """(N, OCCLUDERS, 5) posts and boxes before the person."""
    hidden = d.chance(occlusion)
    things = []
    for extra in range(OCCLUDERS):
        post = d.chance(0.4)
        half_width = np.where(post, 0.04, d.uniform(0.12, 0.4))
        half_height = np.where(post, 2.5, d.uniform(0.25, 0.6))
        present = hidden & (d.chance(0.25) if extra else True)
        aside, ahead = d.around(0.0, 0.5), d.uniform(0.5, 1.2)
        things.append(np.stack([present, aside, half_width, half_height, ahead], axis=1))
    return np.stack(things, axis=1)
