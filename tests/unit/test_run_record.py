"""A run's record whose digest is right and whose values are not."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest

from damaged_readers import RUNS, with_digest
from striate.api.run import Run
from striate.errors import RunError
from striate.run_folder import RunFolder

RECORD = json.loads((RUNS / "lenet5" / "run.json").read_text("utf-8"))
CRAFTED = {
    "normalisation": [None, [], "x", {}, {"mean": [0.5], "std": "a"}, {"mean": [], "std": []}],
    "normalisation.std": [None, 1, ["a"], [10**400], [0.0], [-1], [1.0, 1.0], [1e-300]],
    "normalisation.mean": [{"a": 1}, [[0.5]], [1e308]],
    "data": [None, [], "x"],
    "data.class_names": [None, 3, [["a"]], [{"name": 1}]],
    "data.fields": [
        *([], {"category": None}, {"category": {"kind": "unheard-of", "names": []}}),
        *({"category": {"kind": "category", "names": n}} for n in ([["a"]], 5, [{"name": 1}])),
    ],
    "data.test_digest": [None, 3],
    "data.counts": [None, {"train": 1}],
    "execution": ["x", {"methods": ["a"]}, {"methods": {"a": ["b"]}}, {"layers": 3}],
    "execution.compiled": [["a"], {"a": 1}, "fastest"],
    "execution.threads": [10**400, "4"],
    "hardware": [None, []],
    "facts": [[], "x"],
    "config": [None, [], {}],
    "num_parameters": [10**400, "x"],
}


@pytest.mark.parametrize("part", CRAFTED)
def test_a_crafted_record_is_refused_by_the_name_of_its_file(part, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    for value in CRAFTED[part]:
        record = copy.deepcopy(RECORD)
        *groups, key = part.split(".")
        table = record
        for group in groups:
            table = table[group]
        table[key] = value
        (run / "run.json").write_text(json.dumps(record))
        with_digest(run / "run.json")
        with pytest.raises(RunError, match=r"run\.json"):
            Run(run)


def test_the_record_as_it_was_written_is_read():
    prediction = Run(Path(RUNS / "lenet5")).predict(np.zeros((8, 8), np.uint8))[0]
    assert prediction.problem is None


def test_what_is_no_run_is_refused_with_the_runs_there_are(tmp_path):
    with pytest.raises(RunError, match="is not a run: it does not exist"):
        RunFolder.existing(tmp_path / "none")
    with pytest.raises(RunError, match=r"holds no run\.json"):
        RunFolder.existing(tmp_path)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "run.json").write_text("{}")
    with pytest.raises(RunError, match=r"a folder of 1 runs; name one of them: .*one"):
        RunFolder.existing(tmp_path)
