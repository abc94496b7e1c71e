"""Runs compared, calibrated, measured and looked up as a person does it."""

import html
import json
import os
from pathlib import Path

import numpy as np
import pytest

from striate import api
from striate.api.calibration import calibrate
from striate.api.compare import compare_runs
from striate.api.ledger import known_ledgers, ledger
from striate.cli.evidence import _folder_name
from striate.data.seal import SealedSplit
from striate.errors import ConfigError, DataError, RunError
from striate.evaluation import (
    abstention,
    crossfitted,
    fit_temperature,
    fit_vector,
    load_predictions,
)
from striate.evaluation.classification.external import measure_files
from striate.tasks.classification import evidence as calibration
from striate.tasks.classification.evidence import validated

QUICK = ("network.widths=[8,8]", "training.batch_size=16", "execution.threads=1")


@pytest.fixture
def train(photographs, tmp_path):
    def trained(name, *more, seed=0, steps=40):
        words = (*QUICK, *more)
        return api.train(
            photographs, steps=steps, seed=seed, out=tmp_path / name, assignments=words
        )

    return trained


def test_runs_are_compared_without_another_opening(train, tmp_path, monkeypatch):
    first, second = train("one"), train("two", seed=1, steps=4)
    sealed = compare_runs([first, second])
    assert sealed.split == "validation"
    assert "None of these runs was evaluated" in sealed.notes[0]
    assert sealed.metrics == (first.validation, second.validation)
    first.evaluate()
    with pytest.raises(
        RunError, match=r"two kept no predictions of the test split.*evaluate .*two"
    ):
        compare_runs([first, second])
    second.evaluate()
    monkeypatch.setattr(SealedSplit, "read", None)
    found = compare_runs([first, second])
    assert (found.split, first.test_openings) == ("test", 2)
    wrong = [m.error.count for m in found.metrics]
    pair = found.comparison.pairs[0]
    assert wrong[1] - wrong[0] == pair.only_second_wrong - pair.only_first_wrong
    assert len(found.disagreements) == pair.only_first_wrong + pair.only_second_wrong
    page = found.write(tmp_path / "page").read_text()
    assert found.comparison.verdict in html.unescape(page)
    assert page.count("data:image/png") == len(found.disagreements)
    told = json.loads((tmp_path / "page" / "comparison.json").read_text())
    assert told["pairs"][0]["p"] == pair.p


def test_runs_on_other_splits_are_refused_with_the_reason(train):
    first, other = train("one", steps=2), train("other", "data.split_seed=5", steps=2)
    with pytest.raises(RunError, match=r"divided otherwise .split seed 0 and 5"):
        compare_runs([first, other])
    with pytest.raises(RunError, match="two different runs or more"):
        compare_runs([first, first])


def test_the_temperature_is_kept_and_used_and_old_runs_have_none(train, photographs):
    run = train("one")
    assert run.scaling.temperature not in (None, 1.0)
    stored = load_predictions(run.folder.predictions)
    calibrated = run.scaling(stored.rows["probabilities"])
    images = [photographs / name for name in stored.names]
    told = [[a.probabilities[n] for n in run.class_names] for a in run.predict(images)]
    np.testing.assert_allclose(told, calibrated, rtol=1e-4, atol=1e-6)
    classwise = calibrate(run, classwise=True)
    assert classwise["method"] in ("temperature", "vector scaling")
    run.folder.calibration.unlink()
    with pytest.raises(RunError, match=r"calibration.json is missing.*striate calibrate"):
        run.predict(images)
    (run.path / "digests.jsonl").unlink()  # as of an earlier version
    plain = run.predict(images)
    told = [[a.probabilities[n] for n in run.class_names] for a in plain]
    np.testing.assert_allclose(told, stored.rows["probabilities"], rtol=1e-4, atol=1e-6)
    run.folder.calibration.write_text("{")
    with pytest.raises(RunError, match="striate calibrate"):
        run.predict(images)


def test_predict_abstains_where_it_is_not_sure(train, photographs):
    run = train("one")
    kept = run.abstention(0.8)
    images = sorted(photographs.glob("*/*.png"))
    for answer in run.predict(images, abstain=0.8):
        assert answer.abstained == (answer.confidence < kept.threshold)
        assert (answer.label is None) == answer.abstained
    with pytest.raises(DataError, match="smallest that they prove"):
        run.predict(images, abstain=0.0001)


def test_the_ledger_is_known_by_content_and_a_lost_one_is_said(train, photographs, tmp_path):
    run = train("one", steps=3)
    for _ in range(2):
        run.evaluate()
    moved = tmp_path / "elsewhere" / "under another name"
    moved.parent.mkdir()
    photographs.rename(moved)
    seen = ledger(moved)
    assert (seen.count, len(seen.records), seen.findings) == (2, 2, ())
    assert "opened 2 times" in seen.reading.sentence
    assert seen.reading.high > seen.records[-1].result["high"]
    told = json.loads(run.report_path.with_suffix(".json").read_text())["test"]
    assert told["reading"]["openings"] == 2
    ledgers = Path(os.environ["STRIATE_HOME"]) / "ledgers"
    (ledgers / ".0a1b2c.head.json.77.partial").write_bytes(b"{")  # of a writer that was killed
    (whole,) = known_ledgers()
    assert (whole.count, whole.findings) == (2, ())
    next(ledgers.glob("*.jsonl")).unlink()
    (headless,) = known_ledgers()
    assert headless.count == 2
    assert headless.findings
    for path in ledgers.glob("*"):
        path.unlink()
    lost = ledger(run.path)
    assert lost.count == 2
    assert any("receipt of opening 2" in finding for finding in lost.findings)


def test_a_split_of_another_share_is_named_by_the_words_of_the_training(train, photographs):
    share = "data.test_fraction=0.3"
    train("one", share, steps=3).evaluate()
    assert ledger(photographs).count == 0
    assert ledger(photographs, assignments=(share,)).count == 1
    for wrong in ("data.test_fraction=much", "data=3", "execution=cpu", "trainig.seed=1"):
        with pytest.raises(ConfigError):
            ledger(photographs, assignments=(wrong,))


def test_validation_is_never_the_test_split(train):
    run = train("one", steps=2)
    run.evaluate()
    validation = load_predictions(run.folder.predictions)
    test = load_predictions(run.folder.test_predictions)
    assert (validation.split, test.split) == ("validation", "test")
    assert not set(validation.digests) & set(test.digests)
    assert test.split_digest == run.record["data"]["test_digest"]


def write_csv(path, header, rows):
    lines = [",".join(header), *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_promise_after_a_fit_of_many_numbers_is_called_an_estimate(train, monkeypatch):
    run = train("one")
    assert run.abstention_is_proved
    losses = {fit_temperature: 1.0}
    monkeypatch.setattr(calibration, "_held_out", lambda fit, *_: losses.get(fit, 0.5))
    told = calibrate(run, classwise=True)
    assert (told["method"], told["penalty"]) == ("vector scaling", 1.0)
    again = api.load(run.path)
    stored = load_predictions(run.folder.predictions)
    held_out = crossfitted(
        lambda p, t: fit_vector(p, t, penalty=1.0),
        stored.rows["probabilities"],
        stored.rows["labels"],
    )
    assert not again.abstention_is_proved
    assert again.abstention(0.9) == abstention(
        held_out.max(axis=1), held_out.argmax(axis=1) == stored.rows["labels"], 0.9
    )
    np.testing.assert_array_equal(validated(run.folder)[0], held_out)


@pytest.mark.parametrize("content", ["", "[]", '{"format": 1}'])
def test_a_damaged_calibration_is_told_wherever_it_is_read(train, content):
    run = train("one", steps=2)
    run.folder.calibration.write_text(content)
    assert run.test_openings == 0
    for read in (
        lambda: run.scaling,
        lambda: run.abstention(0.9),
        lambda: validated(run.folder),
        lambda: run.evaluate(),
    ):
        with pytest.raises(RunError, match=r"calibration\.json was damaged.*Fit it anew"):
            read()
    assert run.test_openings == 0
    (run.path / "digests.jsonl").unlink()  # as of an earlier version
    with pytest.raises(RunError, match=r"(?s)calibration\.json cannot be read.*Fit it anew"):
        run.evaluate()


def test_a_comparison_of_many_runs_has_a_short_name():
    assert _folder_name(["one", "two"]) == "compare-one-two"
    many = [f"photographs-airbench-{n:012x}" for n in range(9)]
    short = _folder_name(many)
    assert len(short) == len("compare-") + 12
    assert short == _folder_name(many) != _folder_name(many[::-1])
    assert "/" not in _folder_name(["a/seed-0", "b/seed-0"])


class TestForeign:
    names = ("cat", "car", "frog")

    @pytest.fixture
    def files(self, tmp_path):
        chance = np.random.default_rng(0)
        target = chance.integers(3, size=60)
        p = chance.dirichlet([0.5, 0.5, 0.5], size=60)
        p[np.arange(60), target] += 0.7
        p = (p / p.sum(axis=1, keepdims=True)).round(3)
        ids = [f"i{i:02d}" for i in range(60)]
        truth = write_csv(
            tmp_path / "truth.csv",
            ("id", "label"),
            [(i, self.names[t]) for i, t in zip(ids, target, strict=True)],
        )
        rows = [(i, *row) for i, row in zip(ids, p, strict=True)]
        chance.shuffle(rows)
        shares = write_csv(
            tmp_path / "shares.csv",
            ("id", "car", "cat", "frog"),
            [(i, b, a, c) for i, a, b, c in rows],
        )
        plain = write_csv(
            tmp_path / "plain.csv",
            ("name", "answer"),
            [(i, self.names[row.argmax()]) for i, row in zip(ids, p, strict=True)],
        )
        return truth, shares, plain, target, p

    def test_files_are_matched_by_id_and_class(self, files, tmp_path):
        truth, shares, plain, target, p = files
        found = measure_files([shares, plain], truth)
        wrong = int((p.argmax(axis=1) != target).sum())
        assert [m.error.count for m in found.metrics] == [wrong, wrong]
        assert found.metrics[1].auc is None
        assert found.comparison.pairs[0].p == 1.0
        assert "divided by their sums" in found.notes[0]
        assert found.calibrations[1] is None
        found.write(tmp_path / "page.html")
        assert "err equally often" in (tmp_path / "page.html").read_text()
        alone = measure_files([shares], truth)
        alone.write(tmp_path / "alone.html")
        assert "The scores are as they were given" in (tmp_path / "alone.html").read_text()

    def test_arrays_and_json_say_the_same(self, files, tmp_path):
        truth, shares, _, target, p = files
        np.savez(tmp_path / "p.npz", probabilities=p, class_names=np.array(self.names))
        np.savez(tmp_path / "t.npz", labels=target, class_names=np.array(self.names))
        (tmp_path / "t.json").write_text(
            json.dumps({f"i{i:02d}": self.names[t] for i, t in enumerate(target)})
        )
        (tmp_path / "p.jsonl").write_text(
            "\n".join(
                json.dumps(
                    {
                        "name": f"i{i:02d}",
                        "label": "x",
                        "probabilities": dict(zip(self.names, row, strict=True)),
                    }
                )
                for i, row in enumerate(p.tolist())
            )
        )
        first = measure_files([shares], truth).metrics[0]
        for predictions, truths in (("p.npz", "t.npz"), ("p.jsonl", "t.json")):
            again = measure_files([tmp_path / predictions], tmp_path / truths).metrics[0]
            assert again.error == first.error
            assert again.brier_score.value == pytest.approx(first.brier_score.value, rel=1e-12)

    @pytest.mark.parametrize(
        ("header", "rows", "says"),
        [
            (("id", "label"), [("a", "cat")], "1 ids of the truth are missing .b."),
            (("id", "label"), [("a", "cat"), ("b", "car"), ("c", "car")], "1 ids are not in the"),
            (("id", "label"), [("a", "cat"), ("a", "car"), ("b", "car")], "more than once .a."),
            (("id", "label"), [("a", "cat"), ("b", "carr")], "class carr.* Did you mean 'car'"),
            (("id", "label"), [("a", ""), ("b", "car")], "1 rows have no label"),
            (("id", "cat", "dog"), [("a", 1, 0), ("b", 1, 0)], "no column .* for the class car"),
            (("id", "cat", "car"), [("a", 3.1, -1), ("b", 1, 0)], "'a' with sum 2.1. Apply"),
            (("id", "cat", "car"), [("a", "x", 1), ("b", 1, 0)], "'x' in the column 'cat'"),
            (("id", "cat", "cat"), [("a", 0, 1), ("b", 1, 0)], "column cat more than once"),
            (("id",), [("a",), ("b",)], "neither a column label nor"),
            (("who", "label"), [("a", "cat"), ("b", "car")], "no column id"),
            (("id", "label"), [("a", "cat", "x"), ("b", "car")], "line 2: 3 values for 2 columns"),
        ],
    )
    def test_what_does_not_fit_is_refused_with_the_reason(self, tmp_path, header, rows, says):
        truth = write_csv(tmp_path / "t.csv", ("id", "label"), [("a", "cat"), ("b", "car")])
        with pytest.raises(DataError, match=says):
            measure_files([write_csv(tmp_path / "p.csv", header, rows)], truth)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"labels": np.array([0, -1, 1])}, r"labels -1 are no indices in class_names.*0 to 2"),
            ({"labels": np.array([0, 3, 1])}, "labels 3 are no indices"),
            ({"labels": np.zeros((3, 1), int)}, r"labels are \(N,\); these are \(3, 1\)"),
            ({"probabilities": np.array(0.5)}, r"probabilities are \(N, K\); these are \(\)"),
            ({"ids": np.array(["a", "b"])}, r"ids are \(2,\) for 3 items"),
            ({"ids": np.array(["a", "b", "c", "d"])}, r"ids are \(4,\) for 3 items"),
        ],
    )
    def test_arrays_that_do_not_fit_are_refused(self, tmp_path, change, says):
        whole = {"labels": np.array([0, 1, 2]), "class_names": np.array(self.names)}
        np.savez(tmp_path / "t.npz", **whole)
        np.savez(tmp_path / "p.npz", **{**whole, **change})
        with pytest.raises(DataError, match=says):
            measure_files([tmp_path / "p.npz"], tmp_path / "t.npz")

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"array"])
    def test_files_that_are_no_arrays_are_refused(self, files, tmp_path, content):
        path = tmp_path / "p.npz"
        path.write_bytes(content)
        if content == b"array":
            np.save(tmp_path / "p.npy", np.zeros(3))
            (tmp_path / "p.npy").rename(path)
        with pytest.raises(DataError, match=r"p\.npz cannot be read as an \.npz file"):
            measure_files([path], files[0])

    def test_probabilities_in_a_list_are_refused(self, files, tmp_path):
        path = tmp_path / "p.json"
        path.write_text(json.dumps([{"id": "i00", "probabilities": [0.5, 0.25, 0.25]}]))
        with pytest.raises(DataError, match="do not name their classes; write"):
            measure_files([path], files[0])

    def test_classes_may_be_called_as_columns_begin(self, tmp_path):
        names = ("p_vivax", "p_falciparum")
        truth = write_csv(tmp_path / "t.csv", ("id", "label"), [("a", names[0]), ("b", names[1])])
        for header in (names, tuple(f"p_{name}" for name in names)):
            rows = [("a", 0.75, 0.25), ("b", 1, 0)]
            found = measure_files([write_csv(tmp_path / "p.csv", ("id", *header), rows)], truth)
            assert found.metrics[0].error.count == 1
