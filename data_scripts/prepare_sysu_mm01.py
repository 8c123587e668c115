"""Unpack and check your own copy of SYSU-MM01. Nothing is downloaded.

What it is
    30,071 visible and 15,792 infrared images of people seen by four colour cameras and two infrared
    ones, indoors and outdoors (Wu et al., "RGB-Infrared Cross-Modality Person Re-Identification",
    ICCV 2017).
Whom to ask
    The group at Sun Yat-sen University, with a signed release agreement (wuanc@mail.sysu.edu.cn).
    Pages: isee-ai.cn/project/RGBIRReID.htm and github.com/wuancong/SYSU-MM01.
Licence
    Research, under that agreement; not to be passed on.
Privacy
    Its makers state that every pedestrian signed a privacy licence. That is an agreement about this
    data set, not about anything else that you might do with the pictures.

    python data_scripts/prepare_sysu_mm01.py SYSU-MM01.zip --out data/sysu-mm01

The permutations by which the official code draws its galleries, rand_perm_cam.mat, are in the
repository above. Pass the file after the archive if you want them. cam1_2_video.zip holds frames of
another purpose under the same cameras and is left alone.

Without any data, people who do not exist, in the same layout:

    python data_scripts/make_synthetic.py --layout sysu-mm01 --out data/plaza-sysu-mm01
"""

from __future__ import annotations

import sys
from pathlib import Path

from reidlab.data.prepare import Recipe, run

CAMERAS = tuple(f"cam{number}" for number in range(1, 7))
SPLITS = tuple(f"exp/{split}_id.txt" for split in ("train", "val", "test"))


def remarks(root: Path) -> list[str]:
    """Which of the two ways to draw a gallery is possible."""
    if any((root / place).is_file() for place in ("exp/rand_perm_cam.mat", "rand_perm_cam.mat")):
        return []
    return [
        'there is no rand_perm_cam.mat: galleries can be drawn with draw="agw"; draw="official" '
        "needs that file in exp/"
    ]


RECIPE = Recipe(
    name="sysu-mm01",
    keep=(
        r"cam[1-6]/\d{4}/\d{4}\.jpg",
        r"exp/[^/]+\.(txt|mat)",
        r"rand_perm_cam\.mat",
    ),
    forms=((*(f"{camera}/*/*.jpg" for camera in CAMERAS), *SPLITS),),
    leave=r"^cam1_2_video",
    remarks=remarks,
)

if __name__ == "__main__":
    sys.exit(run(RECIPE, __doc__))
