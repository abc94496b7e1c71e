"""scikit-learn estimators: networks, classical predictors and features for arrays of images.

What else in scikit-learn works on estimators (pipelines, grids, cross-validation, joblib) works on
these. Importing this package imports scikit-learn; importing `striate` does not.
"""

from striate.estimators.classifier import ImageClassifier
from striate.estimators.regressor import ImageRegressor
from striate.estimators.transformer import BagOfWords, FisherVectors, HoG

__all__ = ["BagOfWords", "FisherVectors", "HoG", "ImageClassifier", "ImageRegressor"]
