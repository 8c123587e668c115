"""The synthetic world: people and vehicles that do not exist, with knobs and ground truth.

`World` holds the knobs and renders images; `write_dataset` puts them on disk in a benchmark's
layout. To read the code, follow one image:

    people, cameras, shots    who is seen, by what, and how: rows of random numbers given a meaning
    doubles                   people in pairs that differ in one thing, where a world asks for it
    passers                   another person in some images, before or beside
    infrared                  what a lamp in the dark, or a sensor of warmth, makes of all this
    body, stage               a person and a pose as tapered capsules, in a place before the camera
    scene, raycast            the same as tensors; which capsule does each sample of the picture see
    patterns, shading         its colour there
    backdrop, film            what lies behind, and what the camera makes of both
    vehicles, kinds, livery   the same for vehicles: what they are, how they are built (of pieces in
    road                      fittings and coachwork), their paint, and where their cameras hang
    render, world             many images and their truth
    layout, writers           which file each goes into, and a folder full of them
"""

from reidlab.synth.body import PARTS
from reidlab.synth.coachwork import VEHICLE_PARTS
from reidlab.synth.styles import STYLES
from reidlab.synth.world import PRETRAINING_SEEDS, Pictures, World
from reidlab.synth.writers import layouts, suggested_world, write_dataset

__all__ = [
    "PARTS",
    "PRETRAINING_SEEDS",
    "STYLES",
    "VEHICLE_PARTS",
    "Pictures",
    "World",
    "layouts",
    "suggested_world",
    "write_dataset",
]
