"""Computed sentences and tables of results."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from reidlab.evaluation import rank
from reidlab.experiments import Runs, design
from reidlab.record import RunRecord
from reidlab.report import (
    between,
    decided,
    decisions,
    finding,
    findings,
    metrics_table,
    outcomes,
    planned,
    summary,
    tally,
)
from reidlab.report.findings import in_points, unlike


def test_a_finding_is_bold_on_a_page_and_plain_elsewhere():
    found = finding("Rank-1 is 50.0 %.", "mAP is higher.")
    assert repr(found) == "Rank-1 is 50.0 %. mAP is higher."
    assert found._repr_markdown_() == "**Rank-1 is 50.0 %. mAP is higher.**"
    assert finding("PCB* 1, PCB* 2")._repr_markdown_() == r"**PCB\* 1, PCB\* 2**"


def test_what_is_planned_is_said_until_there_are_runs():
    asked = replace(design("tvtr.k_day-night"), seeds=2)
    said = planned(Runs(asked.name, design=asked)).text
    assert said == "tvtr.k_day-night is designed, with 4 predictions, and not run yet."
    with pytest.raises(ValueError, match="has 1 runs; expected none"):
        planned(Runs(asked.name, lines=({"a": 1},), design=asked))


def test_outcomes_are_told_or_what_is_planned():
    asked = replace(design("tvtr.clutter"), seeds=2)
    assert (
        outcomes(Runs(asked.name, design=asked)).text
        == planned(Runs(asked.name, design=asked)).text
    )
    rows = tuple({"table": "predictions", "prediction": p, "verdict": "holds"} for p in "ab")
    lines = ({"table": "gains", "points": 1.0}, *rows)
    assert outcomes(Runs(asked.name, lines=lines, design=asked)).text == "a: holds; b: holds."


def test_a_summary_is_a_list_whose_first_words_are_bold():
    said = summary(found="mAP is 71.5 %.", how_sure="Three runs.")
    assert repr(said) == "- Found. mAP is 71.5 %.\n- How sure. Three runs."
    assert said._repr_markdown_() == "- **Found.** mAP is 71.5 %.\n- **How sure.** Three runs."


def test_decisions_are_a_list_under_each_ground():
    row = {"value": -0.04, "low": -1.06, "high": 1.0, "verdict": "smaller than 2 points"}
    said = decisions({"real people": pd.DataFrame([row], index=["rows"])})
    assert repr(said) == "real people:\n- rows: +0.0 (-1.1 to +1.0), smaller than 2 points\n"
    assert said._repr_markdown_() == (
        "**real people**\n\n- rows: +0.0 (-1.1 to +1.0), *smaller than 2 points*\n"
    )


def test_sides_that_did_not_learn_alike_are_said_beside_their_difference():
    row = {"value": -4.0, "low": -5.0, "high": -3.0, "verdict": "holds"}
    table = pd.DataFrame([row | {"learned_a": 99.6, "learned_b": 91.3}], index=["pp over tf"])
    said = decisions({"people": table})
    assert said.text.splitlines()[1].endswith("holds; learned 91 % against 100 %")
    assert said.markdown.endswith("*holds*; learned 91 % against 100 %\n")
    assert "learned" not in decisions({"people": table.assign(learned_b=97.7)}).text


@pytest.mark.parametrize(("a", "b", "said"), [
    (90.0, 92.0, "learned 92 % against 90 %"), (92.0, 90.0, "learned 90 % against 92 %"),
    (90.0, 91.9, ""), (float("nan"), 90.0, ""), (90.0, float("nan"), ""),
])  # fmt: skip
def test_two_points_of_training_pictures_are_unlike(a, b, said):
    assert unlike(a, b) == said


def test_a_difference_of_one_seed_has_no_interval():
    assert in_points(-0.04, -1.06, 1.0) == "+0.0 (-1.1 to +1.0)"
    for low in (None, float("nan")):
        assert in_points(1.25, low, low) == "+1.2 (no interval)"


def test_what_was_not_run_is_said_once_for_an_experiment(monkeypatch):
    row = {"value": 1.0, "low": 0.5, "high": 1.5, "verdict": "holds"}

    class Stored:
        def __init__(self, name):
            self.name, self.step = name, ""
            self.design = SimpleNamespace(predictions=(1, 2))

        def __len__(self):
            return int(self.name == "there")

        def judged(self, step):
            self.step = step
            return self

        def decide(self):
            return pd.DataFrame([row], index=[f"{self.name} {self.step}"])

    monkeypatch.setattr(findings, "experiment", Stored)
    said = decided({"mall": "not.yet:mall", "people": "there:crowd", "night": "not.yet:night"})
    assert repr(said) == (
        "people:\n- there crowd: +1.0 (+0.5 to +1.5), holds\n\n"
        "mall, night: not.yet is designed, with 2 predictions, and not run yet."
    )
    assert repr(decided({"people": "there"})).count("not run yet") == 0


def test_results_of_every_kind_stand_beside_each_other(record):
    result = rank(np.array([[0.2, 0.1]]), [1], [1, 2], [0], [1, 1])
    run = RunRecord(**{k: v for k, v in record.items() if k != "schema"})
    table = metrics_table({"ranking": result, "record": run, "metrics": {"rank1": 1, "mAP": 0.3}})
    assert list(table.columns) == ["Rank-1 (%)", "mAP (%)"]
    assert list(table.index) == ["ranking", "record", "metrics"]
    assert np.allclose(table, [[0, 50], [50, 25], [100, 30]])
    assert list(metrics_table({"a": result}, ["rank5"]).columns) == ["Rank-5 (%)"]
    with pytest.raises(KeyError, match="mINP"):
        metrics_table({"metrics": {"mAP": 0.3}}, ["mINP"])


def test_names_of_two_parts_are_an_index_of_two_levels():
    table = metrics_table({("pixels", "standard"): {"mAP": 0.1}}, ["mAP"])
    assert table.index.nlevels == 2


def test_between():
    assert between([3, 0.74, 2]) == "0.7 to 3.0"
    assert between(iter([12.5]), 0) == "12"
    assert between([2.01, 2.04]) == "2.0"
    with pytest.raises(ValueError, match="empty"):
        between([])


def test_decisions_say_what_such_runs_would_show():
    row = {"value": 1.0, "low": 0.5, "high": 1.5, "verdict": "holds", "smallest": 0.71}
    both = pd.DataFrame([row, row | {"smallest": 1.96}], index=["rows", "heads"])
    said = decisions({"people": both, "seeds alone": both.assign(smallest=np.nan)})
    assert "people (asked alone, a difference of 0.7 to 2.0 points would show in" in said.text
    assert "\nseeds alone:\n" in said.text


def test_a_tally_counts_the_most_frequent_first():
    assert tally(pd.Series(["open", "holds", "open"])) == "2 open, 1 holds"
