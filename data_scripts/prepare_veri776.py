"""Unpack and check your own copy of VeRi-776. Nothing is downloaded.

What it is
    37,778 images of 576 vehicles to train on and 11,579 of 200 others to test on, seen by 20
    cameras, with lists, labels of colour and type, and the tracks of the test set.
Whom to ask
    Its authors by e-mail; the pages vehiclereid.github.io/VeRi and github.com/JDAI-CV/VeRidataset
    say how.
Licence
    Non-commercial research; not to be passed on.
Privacy
    No people, but a vehicle has an owner, and a vehicle, a camera and a time say where somebody
    was. Treat it like pictures of people; do not read number plates, do not look for owners.

    python data_scripts/prepare_veri776.py VeRi.zip --out data/veri776

The viewpoint files keypoint_train.txt and keypoint_test.txt are somebody else's annotation. Pass
them after the archive if you have them.

Without any data, vehicles that do not exist, in the same layout:

    python data_scripts/make_synthetic.py --layout veri776 --out data/plaza-veri776
"""

from __future__ import annotations

import sys

from reidlab.data.prepare import Recipe, run

NAMES = tuple(f"name_{part}.txt" for part in ("train", "query", "test"))
LABELS = ("train_label.xml", "test_label.xml")
INDICES = ("gt_index.txt", "jk_index.txt", "test_track.txt")
RECIPE = Recipe(
    name="veri776",
    keep=(
        r"image_(train|query|test)/[^/]+\.jpg",
        r"(name|gt|jk|list|keypoint|test_track)(_[^/]+)?\.txt",
        r"(train|test)_label\.xml",
    ),
    forms=(
        (
            *(f"image_{part}/*.jpg" for part in ("train", "query", "test")),
            *NAMES,
            *LABELS,
            *INDICES,
        ),
    ),
)

if __name__ == "__main__":
    sys.exit(run(RECIPE, __doc__))
