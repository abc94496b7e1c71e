"""Runs compared on the same items, from the answers that they keep; no test split is opened."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from striate import durable
from striate.api.evidence import validated
from striate.api.run import Run, data_of
from striate.data.part import ImageSet
from striate.data.spelling import enumerated
from striate.errors import DataError, RunError
from striate.evaluation import (
    Measures,
    StoredAnswers,
    data_uri,
    load_answers,
    measure,
)
from striate.evaluation.classification.comparison import ClassifierComparison, compare_classifiers
from striate.evaluation.classification.report import comparison_page
from striate.evaluation.report import TINY
from striate.terminal import Reporter

__all__ = ["RunComparison", "compare_runs"]

_SHOWN = 60
"""Disagreeing images on a page; JSON has them all."""
_Picture = Callable[[], np.ndarray | None]
"""Reads a picture; None where it cannot be read any more."""


@dataclass(frozen=True)
class RunComparison:
    """Runs on the same images: the comparison, the measures of each, where they disagree."""

    comparison: ClassifierComparison
    measures: tuple[Measures, ...]
    split: str
    """"test" or "validation"."""
    disagreements: tuple[dict[str, Any], ...]
    """Of images that some runs have right and others wrong: name, truth, answers, and under "image"
    what reads the picture."""
    notes: tuple[str, ...]
    tiny: bool
    """Whether the pictures are so small that a page enlarges them pixel by pixel."""

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON values, without pictures."""
        return {
            "split": self.split,
            **self.comparison.to_json(),
            "notes": list(self.notes),
            "measures": [m.to_json() for m in self.measures],
            "disagreements": [
                {key: value for key, value in item.items() if key != "image"}
                for item in self.disagreements
            ],
        }

    def write(self, folder: Path) -> Path:
        """Write comparison.html and comparison.json into a folder; the page's path comes back."""
        page = folder / "comparison.html"
        html = comparison_page(
            {
                **self.to_json(),
                "disagreements": _chosen(self.disagreements),
                "tiny": self.tiny,
            },
            "Images on which they disagree",
        )
        durable.write_bytes(page, html.encode())
        durable.write_json(folder / "comparison.json", self.to_json())
        return page


def compare_runs(
    runs: Sequence[str | Path | Run],
    *,
    data: str | Path | None = None,
    reporter: Reporter | None = None,
) -> RunComparison:
    """Two runs or more on the same images: the test split's where all were evaluated.

    Runs of which none was evaluated are compared on their validation split, which choices may
    have been made on.

    Args:
        runs: folders of runs, or runs.
        data: where the images lie now, if they were moved; for the pictures of validation.
        reporter: is told what happens; None: nobody.

    Raises:
        RunError: fewer than two runs, runs on different splits, or only some were evaluated.
    """
    opened = [run if isinstance(run, Run) else Run(run) for run in runs]
    if len({run.path.resolve() for run in opened}) < max(len(opened), 2):
        raise RunError("Comparing takes two different runs or more: striate compare RUN RUN")
    for run in opened:
        if not run.is_finished:
            raise RunError(f"{run.path} has not finished; go on with: striate resume {run.path}")
    _refuse_other_splits(opened)
    evaluated = [run.folder.test_answers.is_file() for run in opened]
    reporter = reporter or Reporter()
    if all(evaluated):
        answers = [_calibrated_test(run) for run in opened]
        return _compared(opened, answers, "test", ())
    if any(evaluated):
        sealed = [str(run.path) for run, there in zip(opened, evaluated, strict=True) if not there]
        raise RunError(
            f"{enumerated(sealed)} kept no answers on the test split, and the others did. Evaluate "
            f"first (an opening each, written to the ledger): "
            + "; ".join(f"striate evaluate {path}" for path in sealed)
        )
    return _on_validation(opened, data, reporter)


def _on_validation(
    runs: Sequence[Run], moved_to: str | Path | None, reporter: Reporter
) -> RunComparison:
    # As in the reports: each image by a calibration that was not fitted on it.
    answers = [
        replace(load_answers(run.folder.answers), probabilities=validated(run.folder)[0])
        for run in runs
    ]
    notes = [
        "None of these runs was evaluated: they are compared on the validation split, on which "
        "choices may have been made. For a result to report: striate evaluate each, then compare."
    ]
    try:
        images = data_of(runs[0].config, moved_to, runs[0].path, reporter).validation
    except (DataError, RunError) as error:
        if not all(stored.digests for stored in answers):
            raise
        return _compared(runs, answers, "validation", (*notes, f"No pictures: {error}"))
    finally:
        reporter.close()
    place = {digest: i for i, digest in enumerate(images.digests)}
    told = [_named(stored, images.digests, images.names) for stored in answers]
    # Read when they are shown: of a streamed set each would be decoded here.
    pictures: dict[int, _Picture] = {
        i: partial(_picture, images, place[digest])
        for i, digest in enumerate(told[0].digests)
        if digest in place
    }
    return _compared(runs, told, "validation", tuple(notes), pictures)


def _calibrated_test(run: Run) -> StoredAnswers:
    stored = load_answers(run.folder.test_answers)
    return replace(stored, probabilities=run.scaling(stored.probabilities))


def _named(
    stored: StoredAnswers, digests: tuple[str, ...], names: tuple[str, ...]
) -> StoredAnswers:
    """Answers of an older run, which kept no digests, with those of the same split."""
    if stored.digests or len(stored.labels) != len(digests):
        return stored
    return StoredAnswers(stored.probabilities, stored.labels, digests, names)


def _refuse_other_splits(runs: Sequence[Run]) -> None:
    first = runs[0]
    for run in runs[1:]:
        mine, theirs = first.record["data"], run.record["data"]
        reason = None
        if first.class_names != run.class_names:
            reason = "their classes differ"
        elif mine["digest"] != theirs["digest"]:
            reason = "they were trained on other images"
        elif mine["test_digest"] != theirs["test_digest"]:
            reason = (
                "the images were divided otherwise (split seed "
                f"{mine['split_seed']} and {theirs['split_seed']}, or other fractions)"
            )
        if reason is not None:
            raise RunError(
                f"{first.path} ({mine['title']}) and {run.path} ({theirs['title']}) cannot be "
                f"compared: {reason}. Paired tests need the same test images; train one of them "
                "again on the data and splits of the other."
            )


def _aligned(answers: Sequence[StoredAnswers], split: str) -> list[StoredAnswers]:
    """All answers in the order of the first ones, matched by the content of the images."""
    first = answers[0]
    aligned = [first]
    for stored in answers[1:]:
        same = sorted(stored.digests) == sorted(first.digests)
        if not same or not len(stored.digests) == len(stored.labels) == len(first.labels):
            raise RunError(
                f"The {split} images of these runs are not the same: they were divided "
                "otherwise. Paired tests need the same images."
            )
        if stored.digests == first.digests:
            aligned.append(stored)
            continue
        # Equal pictures keep their order within each run; their labels decide.
        order = _by_content(stored)
        back = np.empty(len(order), dtype=np.int64)
        back[_by_content(first)] = order
        aligned.append(
            StoredAnswers(
                stored.probabilities[back],
                stored.labels[back],
                first.digests,
                first.names,
                stored.split,
                stored.split_digest,
                stored.opening,
                {
                    i: stored.pictures[b]
                    for i, b in enumerate(back.tolist())
                    if b in stored.pictures
                },
            )
        )
    return aligned


def _by_content(stored: StoredAnswers) -> np.ndarray:
    return np.lexsort((np.arange(len(stored.labels)), stored.labels, np.array(stored.digests)))


def _compared(
    runs: Sequence[Run],
    answers: Sequence[StoredAnswers],
    split: str,
    notes: tuple[str, ...],
    pictures: dict[int, _Picture] | None = None,
) -> RunComparison:
    aligned = _aligned(answers, split)
    target = aligned[0].labels
    names = _names(runs)
    classes = runs[0].class_names
    p = np.stack([stored.probabilities for stored in aligned])
    said = p.argmax(axis=2)
    comparison = compare_classifiers(said, target, names, probabilities=p)
    measures = tuple(measure(row, target, classes) for row in p)
    if pictures is None:
        pictures = {}
        for stored in reversed(aligned):
            pictures |= {i: partial(np.asarray, picture) for i, picture in stored.pictures.items()}
    found = _disagreements(p, target, names, classes, aligned[0].names, pictures)
    return RunComparison(
        comparison, measures, split, tuple(found), notes, max(runs[0].config.data.input_size) < TINY
    )


def _disagreements(
    p: np.ndarray,
    target: np.ndarray,
    names: Sequence[str],
    classes: Sequence[str],
    images: Sequence[str],
    pictures: dict[int, _Picture],
) -> list[dict[str, Any]]:
    """Items that some have right and others wrong, those first where they differ most."""
    said = p.argmax(axis=2)
    wrong = said != target
    mixed = np.flatnonzero(wrong.any(axis=0) & ~wrong.all(axis=0))
    truth = np.take_along_axis(p, target[None, :, None], axis=2)[..., 0]
    gap = truth[:, mixed].max(axis=0) - truth[:, mixed].min(axis=0)
    return [
        {
            "index": int(i),
            "name": images[i] if i < len(images) else str(i),
            "truth": classes[target[i]],
            "answers": [
                {
                    "name": name,
                    "answer": classes[said[m, i]],
                    "confidence": float(p[m, i, said[m, i]]),
                    "right": not wrong[m, i],
                }
                for m, name in enumerate(names)
            ],
            "wrong": [name for m, name in enumerate(names) if wrong[m, i]],
            "image": pictures.get(int(i)),
        }
        for i in mixed[np.argsort(-gap, kind="stable")]
    ]


def _chosen(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """As many images of each kind of disagreement, those with pictures first."""
    kinds: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for item in sorted(items, key=lambda item: item["image"] is None):
        kinds.setdefault(tuple(item["wrong"]), []).append(item)
    each = max(1, _SHOWN // max(1, len(kinds)))
    chosen = []
    for kind in kinds.values():
        for item in kind[:each]:
            image = None if item["image"] is None else item["image"]()
            chosen.append({**item, "image": None if image is None else data_uri(image)})
    return chosen


def _picture(images: ImageSet, place: int) -> np.ndarray | None:
    """A picture of a split; None where a streamed one cannot be read any more."""
    try:
        return np.asarray(images.images[place])
    except DataError:
        return None


def _names(runs: Sequence[Run]) -> list[str]:
    """Names of the folders, with what is above them where they would be the same."""
    short = [run.path.resolve().name for run in runs]
    return short if len(set(short)) == len(short) else [str(run.path) for run in runs]
