"""What to do when the images of a data set are not there."""

from __future__ import annotations

SYNTHETIC = (
    "No data at hand? A synthetic set in the same layout takes a minute and needs no permission:\n"
    "    python data_scripts/make_synthetic.py --layout market1501 --out data/synthetic"
)

_WHAT_TO_DO = {
    "market1501": (
        "Market-1501 (Zheng et al., ICCV 2015): 32,668 boxes of 1,501 people seen by six cameras "
        "at Tsinghua University.\n"
        "Its people were filmed in public and its terms are research only, no redistribution, so "
        "reidlab neither ships nor downloads it. Ask its authors for Market-1501-v15.09.15.zip and "
        "run\n"
        "    python data_scripts/prepare_market1501.py --help\n"
        "which says what to request, unpacks, and checks. The root to pass is the folder that "
        "holds bounding_box_train, query and bounding_box_test."
    ),
    "pku-reid": (
        "PKU-Reid (Ma et al., arXiv 1605.02464): 114 people seen by two cameras in eight "
        "orientations; 74 of them are public in the split of LA-TF++.\n"
        "It shows real people under CC BY-NC-SA 4.0, so reidlab does not ship it. The folder "
        "`data` of github.com/aditi184/Person_Re-Identification is the root to pass: it holds "
        "train/ and val/ and needs no conversion."
    ),
}


def data_help(name: str) -> str:
    """What the set is, why it is not shipped, how to get it, and the synthetic alternative."""
    return f"{_WHAT_TO_DO[name]}\n{SYNTHETIC}"
