"""Put the lists of Occluded-Duke beside a DukeMTMC-reID that you hold lawfully, and check both.

What it is
    Three lists of file names (train.list, query.list, gallery.list) that divide the images of
    DukeMTMC-reID anew, so that every query is partly hidden. It brings no image of its own.
Whom to ask
    The lists are in the repository of their authors, lightas/Occluded-DukeMTMC-Dataset. For the
    images nobody: DukeMTMC was WITHDRAWN by its university in 2019 (prepare_dukemtmc.py says why).
    This book names no place where copies are found, and asks for no result on it.
Licence
    That of DukeMTMC-reID, which was CC BY-NC-SA 4.0.
Privacy
    That of DukeMTMC-reID: the people in it did not agree to a data set.

The layout is supported so that older work can be checked and synthetic sets can be read:

    python data_scripts/prepare_occluded_duke.py lists.zip DukeMTMC-reID.zip

Images that are unpacked already are not copied: give the folder that holds DukeMTMC-reID/ as --out,
and the three lists go beside it. A folder built by the authors' own script is read as it is:

    python data_scripts/prepare_occluded_duke.py train.list query.list gallery.list --out FOLDER
    python data_scripts/prepare_occluded_duke.py FOLDER

Without any data, people who do not exist, in the same layout:

    python data_scripts/make_synthetic.py --layout occluded-duke --out data/plaza-occluded-duke
"""

from __future__ import annotations

import sys

from reidlab.data.prepare import Recipe, run

PARTS = ("bounding_box_train", "bounding_box_test", "query")
LISTS = ("train.list", "query.list", "gallery.list")
RECIPE = Recipe(
    name="occluded-duke",
    keep=(
        r"(train|query|gallery)\.list",
        rf"(DukeMTMC-reID/)?({'|'.join(PARTS)})/[^/]+\.jpg",
        r"(LICENSE|CITATION)[^/]*\.txt",
    ),
    forms=(
        (*LISTS, *(f"DukeMTMC-reID/{part}/*.jpg" for part in PARTS)),
        (*LISTS, *(f"{part}/*.jpg" for part in PARTS)),
    ),
    also=("dukemtmc",),
    remarks=lambda root: ["DukeMTMC was withdrawn by its university: see --help before you use it"],
)

if __name__ == "__main__":
    sys.exit(run(RECIPE, __doc__))
