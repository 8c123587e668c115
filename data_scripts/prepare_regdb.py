"""Unpack and check your own copy of RegDB. Nothing is downloaded.

What it is
    8,240 images of 412 people, ten by a visible and ten by a thermal camera for each. The full name
    is "Dongguk Body-based Person Recognition Database (DBPerson-Recog-DB1)".
Whom to ask
    Dongguk University, with a signed form: dm.dongguk.edu/link.html. The ten splits (folder idx)
    are not theirs: they come with the package of the authors of AGW, as far as known.
Licence
    Research, under that form; not to be passed on.
Privacy
    What the people in it agreed to is not stated in anything that we could check. A thermal picture
    is still a picture of somebody.

    python data_scripts/prepare_regdb.py RegDB.zip --out data/regdb

If the splits came by themselves, pass both archives, or put idx/ beside an unpacked Visible/:

    python data_scripts/prepare_regdb.py RegDB.zip idx.zip --out data/regdb
    python data_scripts/prepare_regdb.py idx.zip --out FOLDER

Without any data, people who do not exist, in the same layout:

    python data_scripts/make_synthetic.py --layout regdb --out data/plaza-regdb
"""

from __future__ import annotations

import sys

from reidlab.data.prepare import Recipe, run

SPLITS = tuple(
    f"idx/{split}_{modality}_*.txt"
    for split in ("train", "test")
    for modality in ("visible", "thermal")
)
RECIPE = Recipe(
    name="regdb",
    keep=(r"(Visible|Thermal)/\d+/[^/]+\.bmp", r"idx/(train|test)_(visible|thermal)_\d+\.txt"),
    forms=(("Visible/*/*.bmp", "Thermal/*/*.bmp", *SPLITS),),
)

if __name__ == "__main__":
    sys.exit(run(RECIPE, __doc__))
