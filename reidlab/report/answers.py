"""The answers to the exercises: what is right, and what a foreseen wrong answer tells of its way.

"02-1" is the first exercise of chapter 02. A number with a decimal point is asked for to three
digits, a whole one exactly. Where the answer depends on the data of the page, a function computes
it, and the foreseen wrong ones, from what the page hands to `reidlab.report.check`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import e, exp, log, log10
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from reidlab.explain import IdentityTarget, gradcam, image_batch, true_masks
from reidlab.report.examples import layers_above

Hints = tuple[tuple[Any, str], ...]  # a wrong answer, and how one comes to it


@dataclass(frozen=True)
class Key:
    """The key of one exercise.

    Attributes:
        name: what is asked for, in words.
        expected: the answer; or a function of what the page hands over that returns the answer and
            the hints.
        look: where to look if it is wrong and no hint fits.
        hints: foreseen wrong answers, each with a sentence on what was probably done.
        tolerance: absolute, where an answer can be measured; 0: three digits.
    """

    name: str
    expected: Any
    look: str
    hints: Hints = ()
    tolerance: float = 0.0

    def of(self, **given: Any) -> Key:
        """Return the key of a page that hands over these values."""
        if not callable(self.expected):
            return self
        expected, hints = self.expected(**given)
        return replace(self, expected=expected, hints=hints)


def key_of(exercise: str) -> Key:
    """Return the key of an exercise, such as "02-1".

    Raises:
        ValueError: there is no such exercise.
    """
    if exercise not in KEYS:
        raise ValueError(f"exercise {exercise!r} is unknown; there are {', '.join(KEYS)}")
    return KEYS[exercise]


def _other_cameras(query: pd.Series, gallery: pd.DataFrame) -> tuple[int, Hints]:
    same, away = gallery["pid"] == query["pid"], gallery["camid"] != query["camid"]
    return int((same & away).sum()), (
        (int(same.sum()), "The pictures from the query's own camera are counted, too."),
        (int(away.sum()), "That is everybody in the other cameras, not this person alone."),
    )


def _worst_query(ap: Sequence[float]) -> tuple[int, Hints]:
    return int(np.nanargmin(ap)), (
        (int(np.nanargmax(ap)), "That is the query with the best answer."),
        (int(np.argmin(ap)), "Its AP is NaN: it is not counted. Take np.nanargmin."),
        (int(np.nanargmin(ap)) + 1, "Rows are counted from 0."),
    )


def _indoor(gallery: pd.DataFrame) -> tuple[int, Hints]:
    return int((gallery["camid"] == 0).sum()), (
        (len(gallery), "Nothing is dropped. Camera 3 does not see camera 2, which has camid 1."),
    )


def _brightest_shirt(truth: pd.DataFrame) -> tuple[int, Hints]:
    pids, shirts = truth["pid"].tolist(), truth["top_infrared"].to_numpy()
    return pids[shirts.argmax()], (
        (pids[shirts.argmin()], "That is the darkest shirt in infrared."),
        (int(shirts.argmax()), "That is the row; the person stands in its column pid."),
    )


def _identity_layers(
    model: nn.Module, sample: pd.DataFrame, transform: Any, layers: Sequence[int]
) -> tuple[set[int], Hints]:
    target = IdentityTarget(sample["label"].tolist())
    heat = gradcam(model, image_batch(sample["path"], transform), target, layers=layers)
    above = set(layers_above(heat, true_masks(sample["path"]), layers))
    return above, ((set(layers) - above, "These are the others: there it is not clearly more."),)


def _ap(*ranks: int) -> float:
    return float(np.mean([j / rank for j, rank in enumerate(ranks, start=1)]))


_EARLY, _LATE = _ap(2, 5), _ap(2, 5, *range(101, 109))
_PROTOCOLS = ("sysu", "standard", "regdb", "la-official", "standard", "cuhk03-single-shot")
_STUDIES = dict(enumerate(_PROTOCOLS, start=1))


def _entropy(p: float) -> float:
    """Of a pair that is right with probability p."""
    return -p * log(p) - (1 - p) * log(1 - p)


def _key(
    name: str, expected: Any, look: str, *hints: tuple[Any, str], tolerance: float = 0.0
) -> Key:
    return Key(name, expected, look, hints, tolerance)


KEYS = {
    "00-1": _key(
        "the number of right answers",
        _other_cameras,
        "same pid, other camid: how many rows of gallery are left?",
    ),
    "00-2": _key(
        "the hardest query", _worst_query, "the position of the lowest number in result.ap"
    ),
    "01-1": _key(
        "person and camera",
        (1501, 5),
        "the digits before _c, and the one behind the c",
        ((1501, 6), "The name counts cameras from 1, the library from 0."),
        ((1501, 3), "The 3 is the sequence, not the camera."),
        ((5, 1501), "The person comes first."),
    ),
    "01-2": _key(
        "the pictures left",
        0,
        "same person and same camera are dropped",
        (3, "The other three are of the query's own camera, too."),
        (4, "These are all the pictures of the person, before the rule."),
        (36, "These are pictures of other people; the question is about the right ones."),
    ),
    "01-3": _key("the pictures seen", _indoor, "which cameras are left in indoor.gallery?"),
    "01-4": _key("the brightest shirt", _brightest_shirt, "sort sheet.truth by top_infrared"),
    "02-1": _key(
        "the AP from camera 2",
        13 / 18,
        "two of the eight are dropped; three right ones stay",
        (_ap(1, 3, 5, 8), "Nothing was dropped: where are junk and the own camera?"),
        (_ap(1, 3, 4, 7), "The picture of camera 2 is still there."),
        (_ap(1, 3, 7), "Junk still stands in the list, as a wrong one."),
        (_ap(2, 3, 6), "That is the query from camera 0."),
        (13 / 24, "The sum is divided by four right pictures; one was dropped."),
    ),
    "02-2": _key(
        "gain and loss",
        ((2 / 9 - 2 / 10) / 2, 1 / 4),
        "only one of the two terms changes each time",
        ((1 / 4, (2 / 9 - 2 / 10) / 2), "The gain comes first."),
        ((2 / 9 - 2 / 10, 1 / 2), "AP is the mean over both right pictures."),
        (((1 / 9 - 1 / 10) / 2, 1 / 4), "At the second right picture two are found, not one."),
    ),
    "02-3": _key(
        "the three lines",
        {2, 7, 8},
        "who is dropped? what is each mean over? which queries count?",
        ({7, 8}, "Both are wrong. Whom does line 2 drop beside the same person?"),
        ({2, 8}, "Both are wrong. Of which pictures is the mean in line 7?"),
        ({2, 7}, "Both are wrong. Over which queries is the mean in line 8?"),
        ({2, 5, 8}, "Line 5 is right: the j-th right picture at rank r has precision j / r."),
        ({2, 6, 8}, "Line 6 is right: a query without a right picture does not count."),
    ),
    "02-4": _key(
        "the six protocols",
        _STUDIES,
        "the rules are printed above, one sentence each",
        (_STUDIES | {4: "standard"}, "To rebuild a number takes the rule that made it."),
        (_STUDIES | {5: "la-official"}, "A comparison takes the rule of the benchmark."),
    ),
    "03-1": _key(
        "the patch tokens",
        210,
        "floor((256 - 16) / 12) + 1 rows",
        (128, "These are patches side by side, one every 16 pixels."),
        (180, "A patch stands at the start, too: steps + 1 positions."),
        (211, "The class token is no patch token."),
        (231, "The last patch of a row must end inside the picture: 10 fit across."),
    ),
    "03-2": _key(
        "the loss of equal logits",
        log(4),
        "every class has probability 1/4",
        (1 / 4, "That is the probability; the loss is minus its logarithm."),
        (0.9 * log(4), "The 0.1 that is spread over the classes counts as well."),
        (log10(4), "The loss takes the natural logarithm."),
        (2.0, "The loss takes the natural logarithm, not that to base 2."),
    ),
    "03-3": _key(
        "the triplets",
        (32.0, 2688.0),
        "anchors, times positives of each, times negatives of each",
        ((32.0, 3584.0), "The anchor itself is no positive."),
        ((8.0, 2688.0), "Each picture is an anchor, not each person."),
        ((32.0, 896.0), "Each anchor has three positives."),
        ((32.0, 2976.0), "A negative shows another person: 28 pictures do."),
    ),
    "03-4": _key(
        "the layers", _identity_layers, "layers_above(heat, true_masks(sample.path), layers)"
    ),
    "04-1": _key(
        "λ",
        1 / 8,
        "1 / (1 + λ) = 8 / 9",
        (0.8, "That is the paper's own λ: the row then weighs 1 / 1.8."),
        (1.25, "That is the paper's own λ, turned over."),
        (8.0, "That is the program's λ, which weighs the row; here λ weighs G."),
        (9 / 8, "That is 1 + λ."),
    ),
    "04-2": _key(
        "the first loss",
        8 * log(62),
        "what is the loss of one classifier that knows nothing?",
        (log(62), "That is one classifier alone."),
        (log(8 * 62), "The losses are added, not the classes."),
        (8 * log10(62), "The loss takes the natural logarithm."),
        (62 * log(8), "There are 62 people to choose from and 8 classifiers."),
        tolerance=0.5,
    ),
    "04-3": _key(
        "epoch and rate",
        (31, 1e-4 * 0.8**11),
        "the table of open blocks, and opening 11",
        ((30, 1e-4 * 0.8**11), "Epochs are counted from 1 here."),
        ((31, 1e-4), "The rate falls with every opening."),
        ((31, 1e-4 * 0.8**10), "The rate is multiplied before the first epoch, too."),
        ((21, 1e-4 * 0.8**11), "That is t = 2, as in the table."),
        ((34, 1e-4 * 0.8**12), "At first two blocks are open, not one."),
    ),
    "04-4": _key(
        "megabytes and ratio",
        (19_732 * 14 * 768 * 4 / 1e6, 14.0),
        "images x rows x 768 numbers x 4 bytes",
        ((19_732 * 14 * 768 * 4 / 2**20, 14.0), "A megabyte has 10⁶ bytes here, not 2²⁰."),
        ((19_732 * 14 * 768 / 1e6, 14.0), "A number takes four bytes."),
        ((19_732 * 768 * 4 / 1e6, 14.0), "That is the class token alone."),
        ((19_732 * 15 * 768 * 4 / 1e6, 15.0), "The program searches without the class token."),
    ),
    "04-5": _key(
        "two APs",
        (_EARLY, _LATE),
        "how many of the ten are found in the top ten, and by how many is divided?",
        ((0.09, _LATE), "The authors divide by the hits in the top ten, and there are two."),
        ((_LATE, _EARLY), "The authors' evaluation comes first."),
        ((_EARLY, 0.09), "The eight late pictures have a precision, too: 3/101, 4/102, ..."),
    ),
    "05-1": _key(
        "lambda for the program",
        1.25,
        "R has weight 1 and G 0.8; only their ratio counts",
        (0.8, "Then R has 0.8 and G has 1: the other way round."),
        (1 / 1.8, "That is R's share of the mixture, 1 / 1.8."),
        (0.8 / 1.8, "That is G's share of the mixture, 0.8 / 1.8."),
    ),
    "05-2": _key(
        "the batch size",
        46,
        "the smallest whole number for which the share falls below one half",
        (45, "So many others are needed; the anchor is in the batch, too."),
        (44, "That is drawing with replacement; a batch has each picture once."),
        (32, "That is the program's batch: more than half are alone in it."),
        (62, "So many people are there; a batch need not have one of each."),
    ),
    "05-3": _key(
        "more queries",
        6,
        "with n queries that differ there are 2^n patterns of the coin",
        (5, "A difference as large in favour of A is as extreme: count both ends."),
        (1, "With one query the coin gives such a difference always."),
        (20, "1 / n is not how a coin counts: each query doubles the patterns."),
    ),
    "06-1": _key(
        "the tokens",
        151,
        "one token of its own, one class token a layer, a third of the patches",
        (147, "These are the patches of the band alone."),
        (148, "The class tokens of the three layers are read, too."),
        (150, "The band has a token of its own, too."),
        (445, "A band has a third of the rows."),
        (74, "That is the paper's image of 256 x 128."),
    ),
    "06-2": _key(
        "the deviations",
        (8.0, 1.0),
        "variances of independent terms add",
        ((64.0, 8.0), "That is the variance; the deviation is its root."),
        ((64.0, 1.0), "The first is the variance; the deviation is its root."),
        ((8.0, 0.125), "Divided by d, not by its root."),
        ((1.0, 0.125), "A sum of 64 products varies more than one of them."),
        tolerance=0.2,
    ),
    "06-3": _key(
        "the adjusted p-value",
        0.192,
        "how many are left when the two smaller ones have been judged?",
        (0.032, "That is its p-value alone."),
        (0.256, "The two smaller ones have been judged before it: not all eight count."),
        (0.16, "It counts itself, too."),
        (0.096, "It is the third smallest; six are left to judge, not three."),
        tolerance=0.003,
    ),
    "06-4": _key(
        "who reaches it",
        {"g", "f"},
        "who reads that class token?",
        ({"g"}, "GAE reads it. Does nobody else?"),
        ({"f"}, "The bands read it. Does nobody else?"),
        ({"c12", "g", "f"}, "c12 goes through the norm of its own layer alone."),
        ({"c12"}, "c12 goes through the norm of its own layer alone."),
    ),
    "07-1": _key(
        "the multiplications",
        (163_870_640.0, 645_160.0),
        "how many rows has a matrix, and how many a row vector?",
        ((11 * 254.0**3, 11 * 254.0**2), "Eleven matrices need ten products."),
        ((10 * 253.0**3, 10 * 253.0**2), "The class token is a token like the others."),
        ((10 * 254.0**3, 10 * 254.0), "A row times a matrix: each of T numbers is a sum of T."),
        ((254.0**3, 254.0**2), "That is one product. How many are there?"),
    ),
    "07-2": _key(
        "what is added",
        log(3),
        "e to which power is 3?",
        (3.0, "A logit is an exponent: adding 3 multiplies by e³."),
        (2.0, "A logit is an exponent: copies multiply, they do not add."),
        (log10(3), "The softmax has powers of e, not of ten."),
        (e**3, "The other way round: which power of e is 3?"),
    ),
    "07-3": _key(
        "the floor",
        log(1 + 28 * exp(-2.5)),
        "both logits are -20 * 0.25 ** 2, and the sums have 14 and 2 terms",
        (log(1 + 16 * exp(-2.5)), "The two sums are multiplied, not added."),
        (log(1 + 28 * exp(-1.25)), "Both sums bring such a factor: twice -1.25 in all."),
        (log(1 + exp(-2.5)), "That is one pair of each kind: the sums have 14 and 2 terms."),
        (28 * exp(-2.5), "The logarithm of 1 + ... is still missing."),
    ),
    "08-1": _key(
        "the matches",
        (4.0, 4.0),
        "does a best match know where it lies?",
        ((2.0, 4.0), "That is row by row. The best match looks everywhere."),
        ((0.0, 4.0), "The best match of a row may lie in another row."),
        ((4.0, 1.0), "Each of the four rows of a perfect box is found, and counts one."),
    ),
    "08-2": _key(
        "the hours",
        (3368 * 15_913 / 3.6e6, 3368 * 100 / 3.6e6),
        "pairs, by pairs a second, by 3600",
        ((3368 * 15_913 / 1e3, 3368 * 100 / 1e3), "These are seconds."),
        ((3368 * 15_913 / 6e4, 3368 * 100 / 6e4), "These are minutes."),
        ((15_913 / 3.6e6, 100 / 3.6e6), "That is one query alone."),
    ),
    "08-3": _key(
        "the share and the loss",
        (1 / 16, 64 * _entropy(1 / 16)),
        "p is the share of right pairs; the loss sums over a row",
        ((0.5, 64 * _entropy(1 / 2)), "That matcher does not even know the share."),
        ((3 / 63, 64 * _entropy(3 / 63)), "An image's pair with itself counts here as right."),
        ((1 / 16, _entropy(1 / 16)), "That is the mean over a row of 64; the loss sums."),
        ((1 / 4, 64 * _entropy(1 / 4)), "A row has an entry for each image, not each person."),
    ),
    "09-1": _key(
        "the smallest adjusted p-value",
        0.06,
        "the smallest of three counts three times",
        (0.02, "That is the p-value as it came, one of three."),
        (0.02 / 3, "Holm multiplies the p-value; to divide the 0.05 would do the same."),
        (0.08, "That is the second one."),
    ),
    "10-1": _key(
        "the gigabytes of the vectors",
        2e6 * 192 * 4 / 1e9,
        "four bytes a number",
        (2e6 * 192 * 8 / 1e9, "That is double precision."),
        (2e6 * 192 / 1e9, "That counts numbers, and each takes four bytes."),
        (2e6 * 192 * 2 / 1e9, "That is half precision."),
    ),
    "10-2": _key(
        "the strangers that pass",
        5,
        "each of them has the same chance",
        (1, "One in ten thousand passes, and there are five times as many."),
    ),
    "11-1": _key(
        "the loss of one point",
        log(63),
        "63 others are equally near",
        (log(64), "A picture is not compared with itself."),
        (log(63 / 3), "Each of the three right ones has probability 1/63; they do not add."),
        (0.0, "The right ones are near, but so are all others."),
        (log(60), "The right ones stand in the sum, too."),
    ),
    "11-2": _key(
        "the answers to a question of colour",
        40,
        "reidlab.synth.styles.COLOURS",
        (4, "So many questions are of colour; how many answers has one of them?"),
        (32, "So many colours has the plaza's wardrobe; the weights learned from all."),
    ),
    "12-1": _key(
        "the AP with equal distances",
        (1 / 4 + 2 / 5) / 2,
        "two distances are smaller, and the first of the equal ones is wrong",
        (
            (1 / 3 + 2 / 4) / 2,
            "Of equal distances the first in the gallery comes first: a wrong one.",
        ),
        ((1 / 3 + 2 / 3) / 2, "Two pictures cannot share a place."),
        ((1 / 5 + 2 / 5) / 2, "The third picture comes before the fifth."),
        ((1 / 3 + 2 / 5) / 2, "How many pictures stand before the first right one?"),
    ),
    "12-2": _key(
        "the AP by the camera rule",
        (1 / 1 + 2 / 5) / 2,
        "the rule leaves out two pictures, and what stands behind them moves up",
        ((1 / 2 + 2 / 7) / 2, "The rule takes its pictures out of the list, so others move up."),
        ((1 + 1 + 3 / 4 + 4 / 7) / 4, "Pictures of the query's own camera do not count as right."),
        ((1 / 1 + 2 / 6) / 2, "Two pictures before place 7 are left out."),
        ((1 + 2 / 4) / 2, "Those at 1 and 4 are the ones that are left out."),
    ),
}
