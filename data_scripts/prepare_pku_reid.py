"""Unpack and check PKU-Reid: the part that LA-TF++ published, or the whole release.

What it is
    1,824 images of 114 people, each seen by two cameras in eight orientations (Ma et al.,
    "Orientation Driven Bag of Appearances for Person Re-Identification", arXiv 1605.02464). The
    repository of LA-TF++ holds 74 of the people, in a split of its own.
Whom to ask
    Nobody for the part: it is the folder `data` of github.com/aditi184/Person_Re-Identification.
    For the whole, the data set's own page, github.com/charliememory/PKU-Reid-Dataset.
Licence
    CC BY-NC-SA 4.0, as stated by its authors: name them, no commerce, pass it on alike.
Privacy
    It shows real people. A licence is about copying; it does not say that they agreed to be figures
    of a book. This book publishes numbers on it and no image.

    python data_scripts/prepare_pku_reid.py Person_Re-Identification-main.zip --out data/pku-reid

Of such an archive only data/train and data/val are unpacked. The whole release has its images in
train/ and test/, or all in one folder with the list train_ids.txt of the 57 training people:

    python data_scripts/prepare_pku_reid.py PKU-Reid.zip train_ids.txt --out data/pku-reid-whole

Nothing is downloaded. Without any data, people who do not exist, in the same layout:

    python data_scripts/make_synthetic.py --layout pku-reid --out data/plaza-pku-reid
"""

from __future__ import annotations

import sys

from reidlab.data.prepare import Recipe, run

VAL = ("all_imgs", "query", "gallery")
RECIPE = Recipe(
    name="pku-reid",
    keep=(
        rf"(train|val/({'|'.join(VAL)}))/\d{{3}}/0[12]_[1-8]\.png",
        r"((train|test|images)/)?\d+_\d+_\d+\.png",
        r"train_ids\.txt",
    ),
    forms=(
        ("train/*/*.png", *(f"val/{part}/*/*.png" for part in VAL)),
        ("train/*.png", "test/*.png"),
        ("images/*.png", "train_ids.txt"),
        ("*.png", "train_ids.txt"),
    ),
)

if __name__ == "__main__":
    sys.exit(run(RECIPE, __doc__))
