"""Uneven classes are told before a training and after it, with the setting that weighs them."""

import numpy as np

from striate.data.split import uneven_notes
from striate.evaluation import measure
from striate.evaluation.summary import Summary

SIZES = (100, 100, 100, 5, 5)
NAMES = ("ant", "bee", "cow", "dog", "eel")


def answers(*, found: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of a classifier that finds so many of the five dogs and eels each."""
    labels = np.repeat(np.arange(5), SIZES)
    given = labels.copy()
    for k in (3, 4):
        given[np.flatnonzero(labels == k)[found:]] = 0
    return np.eye(5)[given] * 0.95 + 0.01, labels


def test_a_class_of_a_tenth_is_told() -> None:
    (note,) = uneven_notes(SIZES, NAMES)
    assert note.startswith("The classes are uneven: 100 training images of ant, 5 of the rarest")
    assert "2 class(es) have a tenth or less: dog, eel" in note
    assert "--set loss.class_weights=balanced" in note
    assert uneven_notes((100, 100, 11), NAMES[:3]) == []
    assert uneven_notes((100, 0), NAMES[:2]) == []
    assert uneven_notes((), ()) == []


def test_missed_rare_classes_are_told_with_the_balanced_figure() -> None:
    metrics = measure(*answers(found=0), NAMES)
    (note,) = metrics.notes()
    assert "the balanced error, where each class counts equally, is 40 %, the error 3.23 %" in note
    assert "Recalled least: dog (0 of 5), eel (0 of 5)." in note
    assert metrics.lines()[-1] == note
    (some,) = measure(*answers(found=2), NAMES).notes()
    assert "dog (2 of 5)" in some


def test_no_word_where_nothing_is_hidden() -> None:
    assert measure(*answers(found=4), NAMES).notes() == []
    even = np.repeat(np.arange(5), 20)
    bad = np.eye(5)[np.where(even == 4, 0, even)] * 0.95 + 0.01
    # All of a class is missed, and the error says so.
    assert measure(bad, even, NAMES).notes() == []
    assert Summary(3, {}).notes() == []
