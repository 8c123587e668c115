"""What flip test and re-ranking change for the stored networks of LA-TF and LA-TF++, in points."""

from __future__ import annotations

import pandas as pd

from reidlab.experiments.la_tf_pp import LOSSES
from reidlab.experiments.runs import Runs

RULES = {
    "standard": "mAP, standard rule",
    "standard, in folds": "mAP, standard rule in folds",
    "official": "AP@10, authors' evaluation",
}


def addition_gains(runs: Runs) -> pd.DataFrame:
    """Compare each network with an addition to the same one without.

    Args:
        runs: the table `experiment("la_tf_pp.ranking")`.

    Returns:
        One row for each network, rule and addition: network, seed and rule in words; addition; k1
        of re-ranking, NaN of the flip test; gain and its interval over people, low and high, in
        points; found, by how many more queries find a right image first; drop, whether both Rank-1
        and AP fall.
    """
    key = ["model", "seed", "rule"]
    plain = runs.rows(addition="plain").set_index(key)[["rank1", "mAP", "found first"]]
    table = runs.rows().query("addition != 'plain'").join(plain.add_suffix(", plain"), on=key)
    return pd.DataFrame(
        {
            "network": table["model"].map(LOSSES.labels),
            "seed": table["seed"],
            "rule": table["rule"].map(RULES),
            "addition": table["addition"],
            "k1": pd.to_numeric(table["addition"].str.extract(r"k1 = (\d+)")[0]),
            "gain": 100 * table["difference"],
            "low": 100 * table["interval"].str[0],
            "high": 100 * table["interval"].str[1],
            "found": (table["found first"] - table["found first, plain"]).astype(int),
            "drop": (table["rank1"] < table["rank1, plain"]) & (table["mAP"] < table["mAP, plain"]),
        }
    ).reset_index(drop=True)


def in_words(gains: pd.DataFrame) -> str:
    """The range of some gains, and how many are clear: rows of `addition_gains`."""
    lowest, highest = (round(end, 1) + 0.0 for end in (gains["gain"].min(), gains["gain"].max()))
    won, lost = int((gains["low"] > 0).sum()), int((gains["high"] < 0).sum())
    return (
        f"{lowest:+.1f} to {highest:+.1f} points, {won} clear gains and {lost} clear losses in "
        f"{len(gains)} cases"
    )
