"""What flip test and re-ranking change for the stored networks of LA-TF and LA-TF++, in points."""

from __future__ import annotations

import pandas as pd

from reidlab.evaluation import people_and_seeds
from reidlab.experiments.design import BOUND
from reidlab.experiments.la_tf_pp import LOSSES
from reidlab.experiments.runs import Runs, decision_table, pooled

RULES = {
    "standard": "mAP, standard protocol",
    "standard, by orientation": "mAP, one orientation asks",
    "authors": "AP@10, one orientation asks",
}


def addition_gains(runs: Runs) -> pd.DataFrame:
    """Compare the networks with an addition to the same ones without, over all folds.

    Args:
        runs: the table `experiment("la_tf_pp.ranking")`.

    Returns:
        One row for each kind of network, rule and addition: network and rule in words; addition; k1
        of re-ranking, NaN of the flip test; gain in points of AP and its interval over people and
        seeds, low and high; the word for "it helps", where the additions under all rules to both
        kinds of networks count as several; rank1, the gain in Rank-1; drop, whether both fall.

    Raises:
        ValueError: Networks, folds or people are missing of one side.
    """
    people = {
        (metric, *map(str, key)): pooled(
            zip(rows["seed"], "fold " + rows["fold"], rows["people"], strict=True),
            metric, runs.name,
        )
        for key, rows in runs.rows().groupby(["model", "rule", "addition"], sort=False)
        for metric in ("ap", "rank1")
    }  # fmt: skip
    gains = {
        key: people_and_seeds(
            people[*key[:-1], "plain"].sums, found.sums, found.queries, same_networks=True
        )
        for key, found in people.items()
        if key[-1] != "plain"
    }
    tested = {key[1:]: gain for key, gain in gains.items() if key[0] == "ap"}
    found = decision_table({key: (gain, "higher", BOUND) for key, gain in tested.items()})
    table = found.rename_axis(["network", "rule", "addition"]).reset_index()
    table = table.rename(columns={"value": "gain", "verdict": "word"})
    table["rank1"] = [gains["rank1", *key].value for key in tested]
    table["drop"] = table[["gain", "rank1"]].max(axis=1) < 0
    table["k1"] = pd.to_numeric(table["addition"].str.extract(r"k1 = (\d+)")[0])
    table = table.replace({"network": dict(LOSSES.labels), "rule": RULES})
    return table.drop(columns=["p", "smallest", "seeds", "people"])


def in_words(gains: pd.DataFrame) -> str:
    """The range of some gains, and what is said of them: rows of `addition_gains`."""
    lowest, highest = (round(end, 1) + 0.0 for end in (gains["gain"].min(), gains["gain"].max()))
    words = [f"{word} in {n}" for word, n in gains["word"].value_counts(sort=False).items()]
    return (
        f"{lowest:+.1f} to {highest:+.1f} points; that it helps: {', '.join(words)} of "
        f"{len(gains)} cases"
    )
