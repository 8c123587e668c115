"""Unpack and check your own copy of MSMT17, version 1 or 2. Nothing is downloaded.

What it is
    126,441 boxes of 4,101 people seen by 15 cameras in the morning, at noon and in the afternoon
    (Wei et al., "Person Transfer GAN to Bridge Domain Gap for Person Re-Identification", CVPR
    2018).
Whom to ask
    Its authors by e-mail, the group of Shiliang Zhang at Peking University. The official page,
    pkuvmc.com/publications/msmt17.html, has not been reachable for years.
Licence
    A research agreement; not to be passed on.
Privacy
    Version 1 shows faces and was pulled in favour of version 2, in which they are masked. Ask for
    version 2. As far as known, the people in it did not agree to a data set.

    python data_scripts/prepare_msmt17.py MSMT17_V2.zip --out data/msmt17

One folder holds one version. The lists stand beside the folders of images, whatever folder of the
archive they were in.

Without any data, people who do not exist, in the same layout:

    python data_scripts/make_synthetic.py --layout msmt17 --out data/plaza-msmt17
"""

from __future__ import annotations

import sys
from pathlib import Path

from reidlab.data.prepare import Recipe, run

LISTS = tuple(f"list_{part}.txt" for part in ("train", "val", "query", "gallery"))


def remarks(root: Path) -> list[str]:
    """Version 1 has faces."""
    if (root / "train").is_dir():
        return ["this is version 1, which shows faces; its authors replaced it by version 2"]
    return []


RECIPE = Recipe(
    name="msmt17",
    keep=(
        r"(train|test|mask_train_v2|mask_test_v2)/\d{4}/[^/]+\.jpg",
        r"list_(train|val|query|gallery)\.txt",
    ),
    forms=(
        ("mask_train_v2/*/*.jpg", "mask_test_v2/*/*.jpg", *LISTS),
        ("train/*/*.jpg", "test/*/*.jpg", *LISTS),
    ),
    remarks=remarks,
)

if __name__ == "__main__":
    sys.exit(run(RECIPE, __doc__))
