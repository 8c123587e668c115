"""Unpack and check RandPerson, a set of synthetic people. Nothing is downloaded.

What it is
    People made with MakeHuman and filmed in Unity3D: 8,000 characters in 11 scenes (Wang, Liao and
    Shao, ACM Multimedia 2020). The subset of 132,145 images that papers train on, or the whole of
    1,801,816. It is for training alone: it has no queries and no gallery.
Whom to ask
    Nobody: it is public. The page github.com/VideoObjectSearch/RandPerson says where it is kept.
Licence
    Apache-2.0, as stated in that repository.
Privacy
    Nobody is in it. It is the best choice for training without privacy trouble.

    python data_scripts/prepare_randperson.py randperson_subset.zip --out data/randperson

The whole set comes as one archive per camera; pass all of them, and a folder of their own:

    python data_scripts/prepare_randperson.py scene*/camera*.tar.gz --out data/randperson-full

Archives named delete_* are left alone. The first release of the subset wrote the camera before the
scene in its file names. Such names are kept as they are, and you are told: a program that expects
the scene first would mix up the two without a word.

Without any download, people of another kind who do not exist, in the same layout:

    python data_scripts/make_synthetic.py --layout randperson --out data/plaza-randperson
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from reidlab.data.prepare import Recipe, run

CAMERA_FIRST = re.compile(r"^\d{6}_c\d{2}_s\d{2}_f\d{6}\.jpg$")


def remarks(root: Path) -> list[str]:
    """How many images have the names of the first release."""
    folder = root / "randperson_subset"
    images = folder if folder.is_dir() else root
    old = sum(bool(CAMERA_FIRST.match(path.name)) for path in images.iterdir())
    if not old:
        return []
    return [
        f"{old:,} images have the names of the first release, camera before scene. They are kept; "
        "open_dataset reads both, other programs may mix up scene and camera"
    ]


RECIPE = Recipe(
    name="randperson",
    keep=(r"(randperson_subset/)?\d{6}_[sc]\d{2}_[sc]\d{2}_f\d{6}\.jpg",),
    forms=(("randperson_subset/*.jpg",), ("*.jpg",)),
    leave=r"^delete_",
    remarks=remarks,
)

if __name__ == "__main__":
    sys.exit(run(RECIPE, __doc__))
