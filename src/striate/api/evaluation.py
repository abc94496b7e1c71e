"""Open the sealed test split and say how good a run is."""

from dataclasses import dataclass
from pathlib import Path

from striate.api.report import write_report
from striate.api.run import Run
from striate.data import prepare
from striate.errors import RunError
from striate.evaluation import (
    Measures,
    measure,
    open_test,
    receipts_of,
    record_result,
    verify,
)
from striate.terminal import Reporter

__all__ = ["Evaluation", "evaluate"]


@dataclass(frozen=True)
class Evaluation:
    """The measures on the test split, and which opening of it this was."""

    measures: Measures
    opening: int
    findings: tuple[str, ...]
    """What shows that the ledger was altered; empty when it is sound."""
    report: Path


def evaluate(run: Run | str | Path, *, reporter: Reporter | None = None) -> Evaluation:
    """Measure a finished run on its sealed test split; the opening is written down first.

    Args:
        run: the run or its folder.
        reporter: is told what happens; None: nobody.

    Raises:
        RunError: the training has not ended, or the data have changed since.
        LedgerError: the ledger cannot be written; the split stays closed.
    """
    run = run if isinstance(run, Run) else Run(run)
    reporter = reporter or Reporter()
    _ = run.network  # fails before the split is opened when the training has not ended
    try:
        data = prepare(run.config.data, progress=reporter.progress)
        if data.test.digest != run.record["data"]["test_digest"]:
            raise RunError(
                f"The test images of {run.config.data.source} are not those that {run.path} was "
                "split from. Restore them, or train anew."
            )
        opening = open_test(data.test, run_hash=run.hash, run_folder=run.path)
        images = data.test.read(opening)
        probabilities = run.probabilities(images.images)
        measures = measure(probabilities, images.labels, run.class_names)
        record_result(opening, measures.headline())
        findings = verify(data.test.digest, receipts_of(run.path)).findings
        write_report(run.folder, data, test=(measures, probabilities, images, opening))
    finally:
        reporter.close()
    return Evaluation(measures, opening.number, findings, run.report_path)
