"""A model and a data set in, a result out: every door that evaluates is in this part."""

from reidlab.judging.closed_set import classify
from reidlab.judging.embedding import (
    alike,
    embed,
    evaluate_on,
    test_transform,
    timed_evaluation,
)
from reidlab.judging.matching import rescore
from reidlab.judging.protocol import check_judged, has_test_part, judge
from reidlab.judging.side_information import sides_of, with_rows
from reidlab.judging.untrained import untrained_records
from reidlab.judging.validation import split_images, split_validation
from reidlab.judging.zero_shot import of_training_people, zero_shot, zero_shot_record

__all__ = [
    "alike",
    "check_judged",
    "classify",
    "embed",
    "evaluate_on",
    "has_test_part",
    "judge",
    "of_training_people",
    "rescore",
    "sides_of",
    "split_images",
    "split_validation",
    "test_transform",
    "timed_evaluation",
    "untrained_records",
    "with_rows",
    "zero_shot",
    "zero_shot_record",
]
