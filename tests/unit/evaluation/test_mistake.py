import numpy as np

from striate.evaluation import confident_mistakes, mistakes

P = np.array([[0.50, 0.45, 0.05], [0.20, 0.10, 0.70], [0.9, 0.1, 0.0], [0.40, 0.35, 0.25]])
TARGET = np.array([1, 1, 0, 2])


def test_the_worst_mistakes_gave_the_truth_the_least():
    found = mistakes(P, TARGET)
    assert [item.index for item in found] == [1, 3, 0]
    assert found[0].to_json() == {
        "index": 1,
        "truth": 1,
        "answer": 2,
        "confidence": 0.7,
        "truth_probability": 0.1,
    }


def test_the_most_confident_mistakes_come_by_confidence():
    assert [item.index for item in confident_mistakes(P, TARGET, limit=2)] == [1, 0]


def test_no_mistakes_give_an_empty_list_and_ties_keep_the_order_of_items():
    assert mistakes(P[2:3], TARGET[2:3]) == []
    tied = mistakes(np.tile(P[:1], (3, 1)), np.array([1, 0, 1]))
    assert [item.index for item in tied] == [0, 2]
