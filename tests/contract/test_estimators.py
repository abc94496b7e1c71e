"""scikit-learn's own checks of estimators, all of them."""

import subprocess
import sys

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from striate.estimators import BagOfWords, FisherVectors, HoG, ImageClassifier, ImageRegressor
from typecheck import annotations_unchecked  # noqa: F401 - a fixture

QUICK = {
    "optimiser": {"name": "adamw", "lr": 0.3},
    "training": {"batch_size": 64, "validations": 1, "checkpoints": 1},
    "execution": {"threads": 1},
}

ESTIMATORS = [
    ImageClassifier("linear", steps=20, settings=QUICK),
    ImageClassifier({"name": "pixels-knn", "k": 3}),
    ImageRegressor("linear", steps=40, settings=QUICK | {"loss": {"name": "l2"}}),
    HoG(cell=1),
    BagOfWords(4, step=1, bin_size=1, levels=(1, 2)),
]
MORE = [
    ImageClassifier("pixels-softmax"),
    ImageClassifier({"name": "pixels-svm", "c": 1.0}),
    FisherVectors(2, dim=3, step=1, bin_size=1, levels=(1,)),
]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(MORE)
def test_scikit_learn_checks_of_the_others(estimator, check):
    check(estimator)


ALONE = """
import sys, warnings
warnings.simplefilter("error")
import striate
if "sklearn" in sys.modules:
    sys.exit("importing striate imports scikit-learn")
from sklearn.utils.estimator_checks import check_do_not_raise_errors_in_init_or_set_params as check
from striate.estimators import BagOfWords, FisherVectors, HoG, ImageClassifier, ImageRegressor
for kind in (BagOfWords, FisherVectors, HoG, ImageClassifier, ImageRegressor):
    check(kind.__name__, kind())
"""


@pytest.mark.slow
def test_constructors_take_anything_and_striate_comes_without_scikit_learn():
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
