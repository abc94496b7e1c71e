"""The main job as a person does it: folder in, network, number and report out."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import striate as package
from striate import api
from striate.api.listing import listing
from striate.data import cache, prepare
from striate.data.seal import Opening
from striate.errors import (
    ConfigError,
    DataError,
    DivergenceError,
    RunError,
    SealedTestError,
    StriateError,
)
from striate.training.events import read_events

QUICK = ("network.widths=[8,8]", "training.batch_size=16", "execution.threads=1")


@pytest.fixture(scope="module")
def trained(shared_photographs, tmp_path_factory) -> Path:
    """A finished run, which no test changes."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("STRIATE_CACHE", str(folder / "cache"))
        patched.setenv("STRIATE_HOME", str(folder / "home"))
        api.train(shared_photographs, steps=60, out=folder / "run", assignments=QUICK)
    return folder / "run"


@pytest.fixture
def run(trained, tmp_path) -> api.Run:
    """A copy of a finished run on the shared photographs."""
    return api.load(shutil.copytree(trained, tmp_path / "run"))


class TestCommands:
    def test_folder_to_report_to_test(self, striate, photographs, tmp_path):
        out = tmp_path / "run"
        words = [word for setting in QUICK for word in ("--set", setting)]
        trained = striate("train", photographs, "--steps", 60, "--out", out, *words)
        assert trained.returncode == 0, trained.stderr
        assert "input size" in trained.stdout
        assert "12 × 12" in trained.stdout
        assert "Validation error" in trained.stdout
        assert "95 % interval, n = " in trained.stdout
        assert str(out / "report.html") in trained.stdout.replace("\n", "")
        for number in (1, 2):
            evaluated = striate("evaluate", out)
            assert evaluated.returncode == 0, evaluated.stderr
            assert f"opening {number} of this test split" in evaluated.stdout
        page = (out / "report.html").read_text("utf-8")
        assert "opening 2 of this test split" in re.sub(r"<[^>]*>", "", page).replace("\n", " ")
        assert json.loads((out / "report.json").read_text())["test"]["opening"]["number"] == 2

    def test_predict_in_three_forms(self, striate, run, shared_photographs):
        images = sorted(shared_photographs.glob("*/00[0-4].png"))
        text = striate("predict", run.path, *images)
        assert text.returncode == 0, text.stderr
        assert len(text.stdout.splitlines()) == len(images)
        lines = striate("predict", run.path, *images, "--json").stdout.splitlines()
        answers = [json.loads(line) for line in lines]
        table = striate("predict", run.path, *images, "--csv").stdout
        rows = list(csv.DictReader(io.StringIO(table)))
        assert [row["label"] for row in rows] == [answer["label"] for answer in answers]
        assert sum(a["label"] == Path(a["name"]).parent.name for a in answers) > 9

    @pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
    def test_predict_writes_names_that_are_no_utf_8(
        self, striate, run, shared_photographs, tmp_path
    ):
        folder = tmp_path / "names"
        folder.mkdir()
        for name in (b"caf\xe9.png", b"tea.png"):
            shutil.copy(shared_photographs / "hill" / "003.png", os.fsencode(folder) + b"/" + name)
        for form in ((), ("--csv",), ("--json",)):
            said = striate("predict", run.path, folder, *form)
            assert said.returncode == 0, said.stderr
            assert "tea.png" in said.stdout
            assert r"caf\xe9.png" in said.stdout.replace(r"\\", "\\")

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (("train", "no/such/folder"), "no/such/folder"),
            (("train", "digitz"), "digits"),
            (("train", "{data}", "--network", "resnett"), "Did you mean 'resnet'"),
            (("train", "{data}", "--set", "trainig.seed=1"), "Did you mean 'training'"),
            (
                ("train", "{data}", "--set", "network.depht=1", "-n", "resnet"),
                "Did you mean 'depth'",
            ),
            (("train", "{data}", "--set", "optimiser.lr=fast"), "accepted: a number"),
            (("train", "{data}", "--set", "optimiser.lr=-1"), "optimiser: "),
            (("train", "{data}", "--set", "data.input_size=wide"), "data.input_size='wide'"),
            (("train", "{data}", "--set", "data.source=x"), "DATA of the command"),
            (("train", "{data}", "--set", "execution.threads=100000"), "too many"),
            (("train", "{data}", "--epochs", "0"), "training.epochs=0 must be above zero"),
            (("train", "{data}", "--out", "{data}/hill/000.png/run"), "is a file, no folder"),
            (("resume", "nothing"), "is not a run"),
            (("evaluate", "nothing"), "is not a run"),
            (("predict", "nothing", "image.png"), "is not a run"),
        ],
    )
    def test_mistakes_are_told_without_a_traceback(self, striate, photographs, words, message):
        done = striate(*[word.format(data=photographs) for word in words])
        assert done.returncode == 2
        assert message in done.stderr.replace("\n", " ")
        assert "Traceback" not in done.stderr

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_an_answer_that_cannot_be_written_is_told(self):
        words = [sys.executable, "-m", "striate", "list", "networks"]
        with open("/dev/full", "w") as full:
            ended = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True)
        assert ended.returncode == 2
        assert ended.stderr == (
            "Error The result could not be written: the disk is full. What was saved before is "
            "safe. Make room (striate cache clear helps), then repeat: striate list networks.\n"
        )

    @pytest.mark.parametrize(
        "kind",
        ["networks", "losses", "optimisers", "schedules", "augmentations", "data", "recipes"],
    )
    def test_every_name_is_listed_with_what_it_is(self, kind):
        rows = listing(kind)
        assert rows
        assert all(row.text.endswith((".", ":")) or row.text for row in rows)
        words = {word.partition("=")[0] for row in rows for word in row.arguments.split(", ")}
        assert not words & {"images", "target", "generator", "odd", "num_classes", "progress"}


class TestAnswers:
    def test_prediction_equals_evaluation(self, run, shared_photographs):
        report = json.loads(run.report_path.with_suffix(".json").read_text())
        stored = run.folder.read_tensors(run.folder.predictions)
        data = prepare(run.config.data)
        answers = run.predict([shared_photographs / name for name in data.validation.names])
        mine = [[a.probabilities[name] for name in run.class_names] for a in answers]
        calibrated = torch.from_numpy(run.scaling(stored["probabilities"].numpy()))
        torch.testing.assert_close(
            torch.tensor(mine, dtype=torch.float64), calibrated, rtol=1e-5, atol=1e-6
        )
        assert report["validation"]["n"] == len(answers)

    def test_paths_images_arrays_and_tensors_agree(self, run, shared_photographs):
        path = next(shared_photographs.glob("hill/*.png"))
        image = Image.open(path)
        array = np.asarray(image)
        tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
        forms = [path, image, array, tensor, tensor.float() / 255, array[None], tensor[None]]
        forms += [tensor.float(), tensor.double()[None]]  # as torchvision reads, cast
        answers = [run.predict(form)[0].probabilities for form in forms]
        assert all(answer == answers[0] for answer in answers)

    def test_one_image_of_pillow_may_be_given_many_times(self, run, tmp_path):
        """It reads its file when it is first used, which two threads must not do at once."""
        pixels = np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "large.png")
        expected = run.predict(tmp_path / "large.png")[0].probabilities
        with Image.open(tmp_path / "large.png") as image:
            answers = run.predict([image] * 6 + [tmp_path / "large.png"] * 3)
        for answer in answers:
            assert answer.problem is None
            assert answer.probabilities == pytest.approx(expected, rel=1e-5)  # in other batches

    def test_normalised_tensors_are_refused(self, run):
        normalised = torch.randn(3, 12, 12, generator=torch.Generator().manual_seed(0))
        (answer,) = run.predict(normalised)
        assert answer.label is None
        assert "Undo a normalisation first" in answer.problem

    def test_an_unreadable_image_does_not_stop_the_others(self, run, shared_photographs, tmp_path):
        (tmp_path / "broken.png").write_bytes(b"not an image")
        good = next(shared_photographs.glob("hill/*.png"))
        broken, answered = run.predict([tmp_path / "broken.png", good])
        assert broken.problem
        assert broken.label is None
        assert answered.label in run.class_names
        absent, answered = run.predict([tmp_path / "absent.png", good])
        assert "does not exist" in absent.problem
        assert answered.label in run.class_names
        with pytest.raises(DataError, match="no image to predict"):
            run.predict([])

    def test_loading_gives_the_same_answers(self, run, shared_photographs):
        again = package.load(run.path)
        path = next(shared_photographs.glob("posts/*.png"))
        assert again.predict(path)[0].probabilities == run.predict(path)[0].probabilities
        assert again.validation == run.validation


class TestSeal:
    def test_training_never_reads_the_test_split(self, photographs, tmp_path, monkeypatch):
        first = api.train(photographs, steps=5, out=tmp_path / "first", assignments=QUICK)
        tests = [p for p in cache.images_dir().glob("*/test/*") if p.is_file()]
        assert tests
        for path in tests:
            path.write_bytes(b"poison" + bytes(path.stat().st_size - 6))
        again = api.train(photographs, steps=5, out=tmp_path / "again", assignments=QUICK)
        ours, theirs = (r.folder.read_tensors(r.folder.weights) for r in (first, again))
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        with pytest.raises(StriateError):
            again.evaluate()

    def test_reading_without_an_opening_raises(self, run):
        data = prepare(run.config.data)
        with pytest.raises(SealedTestError):
            data.test.read(Opening(data.test.digest, 1, "0" * 64))

    def test_a_changed_ledger_is_said(self, run):
        from striate.evaluation import ledger_path

        assert run.evaluate().findings == ()
        digest = run.record["data"]["test_digest"]
        path = ledger_path(digest)
        path.write_text(path.read_text().replace('"number": 1', '"number": 7'))
        evaluation = run.evaluate()
        assert evaluation.findings
        assert "altered" in (run.path / "report.html").read_text("utf-8")

    def test_another_path_is_the_same_test_split(self, run, shared_photographs, tmp_path):
        assert run.evaluate().opening == 1
        shutil.copytree(shared_photographs, tmp_path / "elsewhere")
        other = api.train(tmp_path / "elsewhere", steps=5, out=tmp_path / "b", assignments=QUICK)
        assert other.evaluate().opening == 2


class TestTraining:
    def test_the_same_seed_gives_the_same_bits(self, photographs, tmp_path):
        runs = [
            api.train(photographs, steps=12, seed=seed, out=tmp_path / str(i), assignments=QUICK)
            for i, seed in enumerate((4, 4, 5))
        ]
        weights = [r.folder.read_tensors(r.folder.weights) for r in runs]
        assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
        assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])

    def test_divergence_goes_back_once_then_gives_up(self, photographs, tmp_path):
        out = tmp_path / "run"
        wild = (*QUICK, "optimiser.lr=1e30", "training.checkpoints=60")
        with pytest.raises(DivergenceError, match=r"a second time.*Usual reasons"):
            api.train(photographs, steps=60, out=out, assignments=wild)
        rewinds = [e for e in read_events(out / "events.jsonl") if e["event"] == "rewind"]
        assert len(rewinds) == 1
        assert rewinds[0]["reason"] == "diverged"
        assert not (out / "network.safetensors").exists()
        newest = max((out / "checkpoints").glob("*.safetensors"))
        from safetensors.torch import load_file

        assert all(t.isfinite().all() for n, t in load_file(newest).items() if "network" in n)

    def test_minutes_end_on_time_with_the_schedule_finished(self, photographs, tmp_path):
        run = api.train(photographs, minutes=0.1, out=tmp_path / "run", assignments=QUICK)
        events = read_events(run.folder.events)
        steps = [e for e in events if e["event"] == "step"]
        assert steps[-1]["step"] == steps[-1]["of"]
        assert steps[-1]["lr"] < 0.02 * max(e["lr"] for e in steps)

    def test_a_changed_record_is_not_believed(self, run):
        path = run.path / "run.json"
        path.write_text(path.read_text().replace('"seed": 0', '"seed": 1', 1))
        with pytest.raises(RunError, match="was changed after it was written"):
            package.load(run.path)

    def test_weights_of_another_run_are_refused(self, run, shared_photographs, tmp_path):
        settings = ("network.widths=[8,16]", *QUICK[1:])
        other = api.train(shared_photographs, steps=2, out=tmp_path / "other", assignments=settings)
        shutil.copy(other.folder.weights, run.folder.weights)
        picture = next(shared_photographs.glob("hill/*.png"))
        with pytest.raises(RunError, match="was damaged or changed after it was written"):
            run.predict(picture)
        (run.path / "digests.jsonl").unlink()  # as in the folder of an earlier version
        with pytest.raises(RunError, match="does not hold the weights of this run"):
            package.load(run.path).predict(picture)

    def test_moved_images_are_found_where_they_are_named(self, photographs, tmp_path):
        run = api.train(photographs, steps=5, out=tmp_path / "run", assignments=QUICK)
        photographs.rename(tmp_path / "moved")
        with pytest.raises(RunError, match="are there no more"):
            run.evaluate()
        assert run.evaluate(data=tmp_path / "moved").opening == 1

    def test_a_run_inside_the_data_is_not_data(self, photographs):
        first = api.train(photographs, steps=2, out=photographs / "runs" / "a", assignments=QUICK)
        again = api.train(photographs, steps=2, out=photographs / "runs" / "b", assignments=QUICK)
        assert first.record["data"]["digest"] == again.record["data"]["digest"]
        assert first.evaluate().metrics.n == 18

    def test_a_training_that_cannot_begin_leaves_nothing(self, photographs, tmp_path):
        shutil.rmtree(photographs / "posts")
        shutil.rmtree(photographs / "stripes")
        with pytest.raises(DataError):
            api.train(photographs, steps=5, out=tmp_path / "run", assignments=QUICK)
        assert not (tmp_path / "run").exists()

    def test_a_taken_folder_is_refused(self, run, shared_photographs):
        with pytest.raises(RunError, match="is taken"):
            api.train(shared_photographs, steps=5, out=run.path, assignments=QUICK)

    def test_a_finished_run_is_not_trained_again(self, run):
        before = run.folder.events.read_bytes()
        assert api.resume(run.path).is_finished
        assert run.folder.events.read_bytes() == before

    def test_changed_data_are_not_trained_on_silently(self, photographs, tmp_path):
        run = api.train(photographs, steps=5, out=tmp_path / "run", assignments=QUICK)
        run.folder.weights.unlink()
        next(photographs.glob("hill/*.png")).unlink()
        with pytest.raises(RunError, match="have changed since"):
            api.resume(run.path)

    def test_a_recipe_and_tensorboard(self, tmp_path):
        out = tmp_path / "run"
        settings = ("training.tensorboard=true", "execution.threads=1")
        run = api.train("digits_lenet", steps=20, out=out, assignments=settings)
        assert run.config.network.name == "lenet5"
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        files = EventAccumulator(str(out / "tensorboard")).Reload()
        assert "step/loss" in files.Tags()["scalars"]

    def test_mistakes_of_all_kinds_are_told_together(self, photographs):
        wrong = ("loss=softmax_cross_entropi", "optimiser.learning=1", "schedule.peek=0.1")
        with pytest.raises(ConfigError) as caught:
            api.train(photographs, steps=5, assignments=wrong)
        assert len(caught.value.problems) == 3
