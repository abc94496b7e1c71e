"""HoG + linear SVM on the very splits that `striate train` makes: the yardstick of a folder.

    python benchmarks/hog_svm.py FOLDER_OR_ARCHIVE...

Features: scikit-image's HoG (Dalal & Triggs 2005: 9 orientations, 2×2 blocks) of grey images of
128×128; scikit-learn's LinearSVC on standardised features; cells of 8 or 16 pixels and C chosen on
the validation split, then trained on training and validation images together. The test split is
opened through the ledger, as for any run. Prints one line of JSON a set.
"""

import json
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from skimage.feature import hog
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from striate.config import DataConfig
from striate.data import prepare
from striate.evaluation import open_test, record_result, wilson


def features(images: np.ndarray, cell: int) -> np.ndarray:
    """HoG of (N, 128, 128, 1) uint8 images: (N, F)."""
    rows = [hog(image[..., 0], 9, (cell, cell), (2, 2)) for image in images]
    return np.stack(rows).astype(np.float32)


def fitted(c: float, x: np.ndarray, y: np.ndarray) -> Pipeline:
    # tol: a looser end than the default costs no accuracy here and saves most of the time.
    svm = LinearSVC(C=c, dual=True, tol=1e-2, max_iter=300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return make_pipeline(StandardScaler(), svm).fit(x, y)


def measure(source: str) -> dict[str, object]:
    began = time.perf_counter()
    data = prepare(DataConfig(source=source, input_size=(128, 128), channels=1))
    parts = {
        cell: (features(data.train.images, cell), features(data.validation.images, cell))
        for cell in (8, 16)
    }
    scores = {
        (cell, c): fitted(c, train, data.train.labels).score(validation, data.validation.labels)
        for cell, (train, validation) in parts.items()
        for c in (1e-5, 1e-4, 1e-3)
    }
    cell, c = best = max(scores, key=scores.__getitem__)
    both = np.concatenate(parts[cell])
    labels = np.concatenate([data.train.labels, data.validation.labels])
    model = fitted(c, both, labels)
    with tempfile.TemporaryDirectory() as folder:
        opening = open_test(data.test, run_hash="hog-svm", run_folder=Path(folder))
        test = data.test.read(opening)
    wrong = int((model.predict(features(test.images, cell)) != test.labels).sum())
    error = wilson(wrong, len(test))
    record_result(opening, {"error": error.to_json(), "n": len(test)})
    return {
        "data": source,
        "training images": len(labels),
        "cell": cell,
        "C": c,
        "validation error": 1 - scores[best],
        "test error": error.to_json(),
        "seconds": round(time.perf_counter() - began, 1),
    }


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(json.dumps(measure(name)), flush=True)
