"""Evaluation: measures with intervals, the sealed test split's ledger, and the report.

`measure` turns probabilities and truths into numbers that say how far they can be trusted;
`open_test` is the only way to the test split, and writes each opening down first; `report.write`
puts everything on one page.
"""

from striate.evaluation.bootstrap import bootstrap
from striate.evaluation.classification.calibration import (
    ReliabilityBin,
    calibration_by_chance,
    calibration_interval,
    expected_calibration_error,
    reliability,
)
from striate.evaluation.classification.comparison import cochran_q, compare_classifiers
from striate.evaluation.classification.macro import auc, class_aucs, macro_f1, mean_share
from striate.evaluation.classification.measure import (
    ClassMeasures,
    Measures,
    measure,
    measure_answers,
)
from striate.evaluation.classification.mistake import Mistake, confident_mistakes, mistakes
from striate.evaluation.classification.probability import truth_rank
from striate.evaluation.classification.report import render, write
from striate.evaluation.classification.selective import (
    Abstention,
    CoveragePoint,
    abstention,
    risk_coverage,
)
from striate.evaluation.classification.temperature import (
    Scaling,
    crossfitted,
    fit_temperature,
    fit_vector,
)
from striate.evaluation.comparison import Comparison, Pair, compare, holm, mcnemar, sign_flip
from striate.evaluation.interval import Estimate, Proportion, clopper_pearson, wilson
from striate.evaluation.ledger import (
    OpeningRecord,
    Verification,
    ledger_path,
    open_test,
    open_test_for,
    opened,
    openings,
    record_result,
    verify,
)
from striate.evaluation.mean import mean_interval
from striate.evaluation.metric import Columns, Meter, Metric, Rows, Scores, estimate
from striate.evaluation.picture import data_uri
from striate.evaluation.reading import Reading, adjusted_reading
from striate.evaluation.receipt import Receipt, receipts_of
from striate.evaluation.spread import SeedSpread, corrected_resampled, seed_spread
from striate.evaluation.stored import (
    Predictions,
    load_predictions,
    save_predictions,
)
from striate.evaluation.text import most_confused, percent, summary_lines, table_lines

__all__ = [
    "Abstention",
    "ClassMeasures",
    "Columns",
    "Comparison",
    "CoveragePoint",
    "Estimate",
    "Measures",
    "Meter",
    "Metric",
    "Mistake",
    "OpeningRecord",
    "Pair",
    "Predictions",
    "Proportion",
    "Reading",
    "Receipt",
    "ReliabilityBin",
    "Rows",
    "Scaling",
    "Scores",
    "SeedSpread",
    "Verification",
    "abstention",
    "adjusted_reading",
    "auc",
    "bootstrap",
    "calibration_by_chance",
    "calibration_interval",
    "class_aucs",
    "clopper_pearson",
    "cochran_q",
    "compare",
    "compare_classifiers",
    "confident_mistakes",
    "corrected_resampled",
    "crossfitted",
    "data_uri",
    "estimate",
    "expected_calibration_error",
    "fit_temperature",
    "fit_vector",
    "holm",
    "ledger_path",
    "load_predictions",
    "macro_f1",
    "mcnemar",
    "mean_interval",
    "mean_share",
    "measure",
    "measure_answers",
    "mistakes",
    "most_confused",
    "open_test",
    "open_test_for",
    "opened",
    "openings",
    "percent",
    "receipts_of",
    "record_result",
    "reliability",
    "render",
    "risk_coverage",
    "save_predictions",
    "seed_spread",
    "sign_flip",
    "summary_lines",
    "table_lines",
    "truth_rank",
    "verify",
    "wilson",
    "write",
]
