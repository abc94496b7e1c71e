"""Files of predictions of another form are refused with what is wrong and what is accepted."""

import numpy as np
import pytest

from striate.errors import DataError
from striate.evaluation.classification.prediction_file import read_table

TEXTS = {
    "a.csv": {
        "": "is empty",
        "id,label\n": "has no rows",
        "id,label,label\n1,a,b\n": "column label more than once",
        "id,label\n1,a,b\n": "line 2: 3 values for 2 columns",
        "label,x\na,1\n": "has no column id",
        "id,x\n1,2\n": "neither a column label nor columns of probabilities",
        "id,label,problem\n1,a,cut short\n": "1 items have no prediction but a problem",
        "id,label\n1,a\n2,\n": "1 rows have no label, the first is line 3",
        "id,a,b\n1,0.5,x\n": "'x' in the column 'b' of '1' is no number",
    },
    "a.json": {
        "": "is empty",
        "[": "is no JSON",
        "3": "is no list of objects",
        "[3]": "is no list of objects",
        '[{"id": 1, "probabilities": [0.5, 0.5]}]': "do not name their classes",
        '[{"id": 1, "label": ""}]': "1 rows have no label, the first is entry 1",
    },
    "a.jsonl": {"": "is empty", "[" * 100_000: "nested too deeply"},
    "a.xyz": {"": r"is no \.csv"},
}


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [(name, text, problem) for name, texts in TEXTS.items() for text, problem in texts.items()],
    ids=lambda value: value[:30],
)
def test_a_text_of_another_form_is_refused(name, text, problem, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=problem):
        read_table(tmp_path / name)


SHARES = np.full((2, 2), 0.5)
ARRAYS = {
    "holds x": {"x": SHARES},
    r"labels are \(N,\); these are \(2, 2\)": {"labels": SHARES},
    r"probabilities are \(N, K\); these are \(2,\)": {"probabilities": SHARES[0]},
    r"ids are \(3,\) for 2 items": {"ids": np.arange(3), "probabilities": SHARES},
    "3 class_names for 2 columns": {"class_names": list("abc"), "probabilities": SHARES},
    "labels 5 are no indices": {"class_names": list("ab"), "labels": np.array([0, 5])},
}


@pytest.mark.parametrize("problem", ARRAYS)
def test_arrays_of_another_form_are_refused(problem, tmp_path):
    np.savez(tmp_path / "a.npz", **ARRAYS[problem])
    with pytest.raises(DataError, match=problem):
        read_table(tmp_path / "a.npz")


def test_tables_of_each_form_are_read(tmp_path):
    np.savez(tmp_path / "a.npz", labels=np.array([1, 0]), class_names=["cat", "dog"])
    assert read_table(tmp_path / "a.npz").labels == ("dog", "cat")
    np.savez(tmp_path / "a.npz", probabilities=SHARES, ids=np.arange(2))
    table = read_table(tmp_path / "a.npz")
    assert (table.ids, table.columns) == (("0", "1"), ("0", "1"))
    (tmp_path / "a.json").write_text('{"x": {"label": 3.0}, "y": "dog"}')
    assert read_table(tmp_path / "a.json").labels == ("3", "dog")


def test_a_folder_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(DataError, match="is a folder"):
        read_table(tmp_path)
    with pytest.raises(DataError, match="There is no file"):
        read_table(tmp_path / "a.csv")
