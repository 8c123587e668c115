"""What to do when the images of a data set are not there."""

from __future__ import annotations

from reidlab.data.cards import CARDS
from reidlab.data.errors import DatasetError


def data_help(name: str) -> str:
    """What the set is, why it is not shipped, how to get it, and the synthetic alternative.

    Raises:
        DatasetError: there is no set of that name.
    """
    if name not in CARDS:
        raise DatasetError(f"unknown data set {name!r}: reidlab knows {', '.join(CARDS)}")
    card = CARDS[name]
    if card.images is None:
        what = f"{card.title.capitalize()}: reidlab ships none and reads what you have."
    else:
        what = (
            f"{card.title} ({card.citation}): {card.images:,} images of {card.people:,} "
            f"{card.subject} seen by {card.cameras} cameras.\n"
            f"{card.privacy} Licence: {card.licence}. So reidlab neither ships nor downloads it."
        )
    how = card.privacy
    if card.script:
        ask = f"Ask {card.ask}." if card.ask else "There is nobody to ask for a copy."
        how = (
            f"{ask} With a copy at hand run\n    python data_scripts/{card.script} --help\n"
            "which says what to request, unpacks, and checks."
        )
    return (
        f"{what}\n{how}\nThe root to pass is {card.root_hint}.\n"
        "No data at hand? A synthetic set in the same layout takes a minute and needs no "
        f"permission:\n    python data_scripts/make_synthetic.py --layout {name} "
        f"--out data/synthetic-{name}"
    )
