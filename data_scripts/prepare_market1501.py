"""Unpack and check your own copy of Market-1501. Nothing is downloaded.

What it is
    32,668 boxes of 1,501 people seen by six cameras in front of a supermarket at Tsinghua
    University (Zheng et al., "Scalable Person Re-identification: A Benchmark", ICCV 2015).
Whom to ask
    Its authors, through the data set's page at zheng-lab.cecs.anu.edu.au/Project/project_reid.html.
    It is meant for academic research; get it in your institution's name.
Licence
    None that would let others pass it on: it cannot be shipped with this book, nor mirrored by you.
Privacy
    The people in it were filmed in a public place and did not consent to a data set. Some
    institutions forbid its use; ask yours. Do not show faces, do not look for the people.

    python data_scripts/prepare_market1501.py Market-1501-v15.09.15.zip --out data/market1501

Without any data, people who do not exist, in the same layout:

    python data_scripts/make_synthetic.py --layout market1501 --out data/plaza-market1501
"""

from __future__ import annotations

import sys

from reidlab.data.prepare import Recipe, run

PARTS = ("bounding_box_train", "bounding_box_test", "query")
RECIPE = Recipe(
    name="market1501",
    keep=(rf"({'|'.join(PARTS)})/[^/]+\.jpg",),
    forms=(tuple(f"{part}/*.jpg" for part in PARTS),),
)

if __name__ == "__main__":
    sys.exit(run(RECIPE, __doc__))
