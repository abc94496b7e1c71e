"""Evaluation: metrics with intervals, the sealed test split's ledger, and the report.

A task keeps rows of each item; `estimate` and `compare` turn them into numbers that say how far
they can be trusted. `classification` does so for classifiers. `open_test` is the only way to the
test split, and writes each opening down first; `report` puts everything on one page.
"""

from striate.drawing.picture import data_uri, thumbnail_uri
from striate.evaluation.classification.measure import ClassificationMetrics, measure
from striate.evaluation.classification.mistake import confident_mistakes, mistakes
from striate.evaluation.classification.selective import Abstention, abstention, risk_coverage
from striate.evaluation.classification.temperature import (
    Scaling,
    crossfitted,
    fit_temperature,
    fit_vector,
)
from striate.evaluation.classification.text import summary_lines, table_lines
from striate.evaluation.comparison import compare, holm, mcnemar
from striate.evaluation.interval import Estimate, Proportion, wilson
from striate.evaluation.ledger import (
    OpeningRecord,
    ledger_path,
    open_test,
    open_test_for,
    opened,
    openings,
    record_result,
    until_result,
    verify,
)
from striate.evaluation.mean import mean_interval
from striate.evaluation.metric import Columns, Meter, Metric, Rows, Scores, estimate, item_values
from striate.evaluation.reading import Reading, adjusted_reading
from striate.evaluation.receipt import Receipt, receipts_of
from striate.evaluation.spread import SeedSpread, corrected_resampled, seed_spread
from striate.evaluation.stored import Predictions, load_predictions, save_predictions
from striate.evaluation.text import (
    format_interval,
    format_metric,
    format_value,
    headline_in_words,
    percent,
)

__all__ = [
    "Abstention",
    "ClassificationMetrics",
    "Columns",
    "Estimate",
    "Meter",
    "Metric",
    "OpeningRecord",
    "Predictions",
    "Proportion",
    "Reading",
    "Receipt",
    "Rows",
    "Scaling",
    "Scores",
    "SeedSpread",
    "abstention",
    "adjusted_reading",
    "compare",
    "confident_mistakes",
    "corrected_resampled",
    "crossfitted",
    "data_uri",
    "estimate",
    "fit_temperature",
    "fit_vector",
    "format_interval",
    "format_metric",
    "format_value",
    "headline_in_words",
    "holm",
    "item_values",
    "ledger_path",
    "load_predictions",
    "mcnemar",
    "mean_interval",
    "measure",
    "mistakes",
    "open_test",
    "open_test_for",
    "opened",
    "openings",
    "percent",
    "receipts_of",
    "record_result",
    "risk_coverage",
    "save_predictions",
    "seed_spread",
    "summary_lines",
    "table_lines",
    "thumbnail_uri",
    "until_result",
    "verify",
    "wilson",
]
