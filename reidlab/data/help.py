"""What to do when the images of a data set are not there."""

from __future__ import annotations

from reidlab.data.cards import CARDS, DatasetCard
from reidlab.data.errors import DatasetError


def data_help(name: str) -> str:
    """What the set is, why it is not shipped, how to get it, and the synthetic alternative.

    Raises:
        DatasetError: there is no set of that name.
    """
    if name not in CARDS:
        raise DatasetError(f"unknown data set {name!r}: reidlab knows {', '.join(CARDS)}")
    card = CARDS[name]
    return "\n".join(
        [_what(card), _how(card), f"The root to pass is {card.root_hint}.", _else(card)]
    )


def _what(card: DatasetCard) -> str:
    if card.images is None:
        return f"{card.title.capitalize()}: reidlab ships none and reads what you have."
    return (
        f"{card.title} ({card.citation}): {card.images:,} images of {card.people:,} {card.subject} "
        f"seen by {card.cameras} cameras.\n"
        f"{card.privacy} Licence: {card.licence}. So reidlab neither ships nor downloads it."
    )


def _how(card: DatasetCard) -> str:
    ask = f"Ask {card.ask}." if card.ask else "There is nobody to ask for a copy."
    if not card.script:
        return card.privacy
    return (
        f"{ask} With a copy at hand run\n"
        f"    python data_scripts/{card.script} --help\n"
        "which says what to request, unpacks, and checks."
    )


def _else(card: DatasetCard) -> str:
    return (
        "No data at hand? A synthetic set in the same layout takes a minute and needs no "
        "permission:\n"
        f"    python data_scripts/make_synthetic.py --layout {card.name} "
        f"--out data/synthetic-{card.name}"
    )
