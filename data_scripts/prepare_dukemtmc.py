"""Unpack and check a copy of DukeMTMC-reID that you hold lawfully. Nothing is downloaded.

What it is
    36,411 boxes of people seen by eight cameras on the campus of Duke University, cut from the
    recordings of DukeMTMC (Ristani et al., ECCV workshops 2016), one frame in 120.
Whom to ask
    Nobody: it was WITHDRAWN. Its university closed the site in 2019, because recording outdoors and
    publishing the recordings had gone beyond what was approved, and the author asked that copies be
    taken down. This book names no place where copies are found, and asks for no result on it.
Licence
    It was CC BY-NC-SA 4.0, with attribution. A licence does not undo the withdrawal.
Privacy
    The people in it did not agree to a data set. Read what your institution says before you keep or
    use a copy that you already have; the right answer may be to delete it.

The layout is supported so that older work can be checked and synthetic sets can be read:

    python data_scripts/prepare_dukemtmc.py DukeMTMC-reID.zip --out data/dukemtmc

Without any data, people who do not exist, in the same layout:

    python data_scripts/make_synthetic.py --layout dukemtmc --out data/plaza-dukemtmc
"""

from __future__ import annotations

import sys

from reidlab.data.prepare import Recipe, run

PARTS = ("bounding_box_train", "bounding_box_test", "query")
RECIPE = Recipe(
    name="dukemtmc",
    # The texts of licence and citation stay with the images: attribution was a condition.
    keep=(rf"({'|'.join(PARTS)})/[^/]+\.jpg", r"(LICENSE|CITATION)[^/]*\.txt"),
    forms=(tuple(f"{part}/*.jpg" for part in PARTS),),
    remarks=lambda root: ["DukeMTMC was withdrawn by its university: see --help before you use it"],
)

if __name__ == "__main__":
    sys.exit(run(RECIPE, __doc__))
