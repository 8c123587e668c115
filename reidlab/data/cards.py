"""What is known of each data set before a file of it is seen: one card a set, in cards.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml

from reidlab.data.errors import DatasetError


class Counts(NamedTuple):
    """What a split holds, junk and distractors not counted as people, junk not as images.

    `images` is None where no number was published (it differs between the 20 splits of CUHK03).
    """

    images: int | None
    people: int
    cameras: int


Published = Mapping[str, Counts]


@dataclass(frozen=True, kw_only=True)
class DatasetCard:
    """What a data set is, who may have it, and what was published of it.

    Args:
        name: the name it is opened by.
        title: the name it is known by.
        citation: authors, title and place of the paper to cite.
        subject: "people" or "vehicles".
        modality: "visible", or "visible + infrared".
        licence: in a few words.
        status: how it is to be had, in a few words.
        privacy: what was done to whom, in a sentence or two.
        ask: whom, or which page; empty where it is not to be had any more.
        root_hint: which folder to pass to `open_dataset`.
        camera_rule: which gallery images a query does not see.
        script: of `data_scripts/`, prepares a copy; empty where nothing has to be prepared.
        images: in the whole set, None where that is up to the user; likewise people and cameras.
        people: see images.
        cameras: see images.
        published: counts of each split with the default options; None where there are none.
        variants: the same with other options, by "option=value, option=value"; of several that
            fit, the last counts.
    """

    name: str
    title: str
    citation: str
    subject: str
    modality: str
    licence: str
    status: str
    privacy: str
    ask: str
    root_hint: str
    camera_rule: str
    script: str
    images: int | None = None
    people: int | None = None
    cameras: int | None = None
    published: Published | None = None
    variants: Mapping[str, Published] = field(default_factory=dict)

    def counts(self, **options: object) -> Published | None:
        """Published counts of each split under some options; those of the default without any.

        Options that change no count may be among them, or be left out:
        CARDS["msmt17"].counts(val="out").
        """
        chosen = {f"{option}={value}" for option, value in options.items()}
        fitting = [held for key, held in self.variants.items() if chosen >= {*key.split(", ")}]
        return fitting[-1] if fitting else self.published


def synthetic_card(card: DatasetCard) -> DatasetCard:
    """The card of a synthetic set written in the layout of another."""
    return replace(
        card,
        title=f"synthetic set in the layout of {card.title}",
        licence="none needed",
        status="synthetic",
        privacy="Nobody is in it.",
        ask="",
        published=None,
        variants={},
    )


def data_catalogue() -> pd.DataFrame:
    """All data sets that `open_dataset` knows, one row each, indexed by name.

    Columns: title, images, people (or vehicles), cameras, modality, licence, status, script. The
    three numbers are of the whole set, NA for "folder".
    """
    columns = ["title", "images", "people", "cameras", "modality", "licence", "status", "script"]
    frame = pd.DataFrame(
        [[getattr(card, column) for column in columns] for card in CARDS.values()],
        columns=columns,
        index=pd.Index(CARDS, name="name"),
    )
    return frame.astype(dict.fromkeys(("images", "people", "cameras"), "Int64"))


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


def _card(name: str, facts: dict[str, Any]) -> DatasetCard:
    """A card of cards.yaml; its variants name only the splits that differ."""
    published = _counts(facts.pop("published", None) or {})
    variants = {
        options: {**published, **_counts(splits)}
        for options, splits in facts.pop("variants", {}).items()
    }
    return DatasetCard(name=name, published=published or None, variants=variants, **facts)


def _counts(splits: Mapping[str, Mapping[str, int]]) -> dict[str, Counts]:
    return {
        split: Counts(numbers.get("images"), numbers["people"], numbers["cameras"])
        for split, numbers in splits.items()
    }


_FACTS = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
CARDS: Mapping[str, DatasetCard] = {name: _card(name, facts) for name, facts in _FACTS.items()}
