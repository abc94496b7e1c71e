"""Evaluation: measures with intervals, the sealed test split's ledger, and the report.

`measure` turns probabilities and truths into numbers that say how far they can be trusted;
`open_test` is the only way to the test split, and writes each opening down first; `report.write`
puts everything on one page.
"""

from striate.evaluation.calibration import ReliabilityBin, expected_calibration_error, reliability
from striate.evaluation.interval import Estimate, Proportion, bootstrap, clopper_pearson, wilson
from striate.evaluation.ledger import (
    OpeningRecord,
    Verification,
    ledger_path,
    open_test,
    opened,
    openings,
    record_result,
    verify,
)
from striate.evaluation.measure import ClassMeasures, Measures, measure
from striate.evaluation.mistake import Mistake, confident_mistakes, mistakes
from striate.evaluation.picture import data_uri
from striate.evaluation.prediction import truth_rank
from striate.evaluation.receipt import Receipt, receipts_of
from striate.evaluation.report import render, write
from striate.evaluation.stratum import mean_share
from striate.evaluation.text import most_confused, percent, summary_lines

__all__ = [
    "ClassMeasures",
    "Estimate",
    "Measures",
    "Mistake",
    "OpeningRecord",
    "Proportion",
    "Receipt",
    "ReliabilityBin",
    "Verification",
    "bootstrap",
    "clopper_pearson",
    "confident_mistakes",
    "data_uri",
    "expected_calibration_error",
    "ledger_path",
    "mean_share",
    "measure",
    "mistakes",
    "most_confused",
    "open_test",
    "opened",
    "openings",
    "percent",
    "receipts_of",
    "record_result",
    "reliability",
    "render",
    "summary_lines",
    "truth_rank",
    "verify",
    "wilson",
    "write",
]
