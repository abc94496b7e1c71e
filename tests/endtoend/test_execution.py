"""How a network runs: looked at, chosen once, kept by the run."""

import json
import subprocess
import sys

import pytest
import torch

from striate import api, kernels
from striate.config import RunConfig
from striate.errors import ConfigError
from striate.execution import Execution
from striate.training import assemble
from striate.training.events import read_events
from striate.training.interrupt import Interrupt

QUICK = ("network.widths=[8,8]", "training.batch_size=16", "execution.threads=1")
WORDS = ("--size", "9x11", "--batch", "4", "--seconds", "1", "--classes", "3")


class TestProfile:
    @pytest.mark.slow
    def test_a_network_by_name(self, striate):
        words = ("profile", "resnet", *WORDS, "--set", "network.depth=8")
        shown = striate(*words)
        assert shown.returncode == 0, shown.stderr
        assert "Training steps of 4×3×9×11" in shown.stdout
        assert "(measured)" in shown.stdout
        again = striate(*words)
        assert "(remembered)" in again.stdout
        fresh = striate(*words, "--fresh", "--json")
        values = json.loads(fresh.stdout)
        assert values["chosen"]["origin"] == "measured"
        assert values["tried"][0]["title"] == "torch"
        best, median, worst = values["tried"][0]["best_median_worst"]
        assert 0 < best <= median <= worst

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (("resnett",), "Did you mean 'resnet'"),
            (("resnet", "--size", "big"), "--size big is no size"),
            (("resnet", "--set", "network.depht=20"), "Did you mean 'depth'"),
            (("resnet", "--set", "execution.thread=2"), "Did you mean 'execution.threads'"),
            (("resnet", "--set", "training.steps=2"), "only network.* and execution.*"),
        ],
    )
    def test_a_mistake_is_told(self, striate, words, message):
        done = striate("profile", *words)
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_run(self, photographs, tmp_path, striate):
        run = api.train(photographs, steps=3, out=tmp_path / "run", assignments=QUICK)
        shown = striate("profile", run.path, "--seconds", "1", "--json")
        assert json.loads(shown.stdout)["batch_shape"] == [16, 3, 12, 12]
        done = striate("profile", run.path, "--set", "network.widths=[2,2]")
        assert "is fixed" in done.stderr


class TestRecordedChoice:
    def test_a_resumed_run_and_its_answers_take_what_was_chosen(
        self, photographs, tmp_path, monkeypatch
    ):
        chosen = Execution(
            torch.device("cpu"),
            True,
            "float32",
            threads=1,
            methods={"stages.0.conv1": "winograd4,torch,winograd4"},
            layers=("norm",),
            origin="measured",
        )
        seen = []

        def choose(config, network, num_items):
            seen.append(config.training.batch_size)
            return chosen

        monkeypatch.setattr(assemble, "choose_execution", choose)
        whole = api.train(photographs, steps=9, out=tmp_path / "whole", assignments=QUICK)
        asked = iter([None] * 4)
        monkeypatch.setattr(
            Interrupt, "signal_number", property(lambda self: next(asked, 15)), raising=False
        )
        part = api.train(photographs, steps=9, out=tmp_path / "part", assignments=QUICK)
        assert part.stopped_by == 15
        assert seen == [16] * 2
        monkeypatch.setattr(Interrupt, "signal_number", None)
        monkeypatch.setattr(assemble, "choose_execution", None)  # not to be asked again
        part = api.resume(part.path)
        assert part.is_finished
        assert part.execution == chosen
        for name, weight in whole.network.state_dict().items():
            assert torch.equal(weight, part.network.state_dict()[name]), name
        texts = [e["text"] for e in read_events(part.folder.events) if e["event"] == "execution"]
        assert texts == ["Runs on cpu, 1 thread(s), Striate's kernels (measured)."]

    def test_a_run_of_an_earlier_version_loads(self, photographs, tmp_path):
        run = api.train(photographs, steps=3, out=tmp_path / "run", assignments=QUICK)
        record = run.folder.record()
        digest = record["hash"]
        del record["execution"]
        record["config"]["execution"] = {
            "device": "auto", "threads": None, "channels_last": True, "precision": "float32",
        }  # fmt: skip
        record["hardware"]["threads"] = 1
        run.folder.create(record)
        old = api.load(run.path)
        assert old.execution.is_plain
        assert old.execution.threads == 1
        assert set(old.config.to_json()["execution"]) == set(record["config"]["execution"])
        assert old.hash != digest  # it was asked for something else

    def test_exact_and_kernels_together_are_refused(self, photographs, tmp_path):
        words = (*QUICK, "execution.exact=true", "execution.kernels=true")
        with pytest.raises(ConfigError, match="give one of them"):
            api.train(photographs, steps=3, out=tmp_path / "run", assignments=words)


def test_with_kernels_the_same_seed_gives_the_same_bits_also_resumed(
    photographs, tmp_path, monkeypatch
):
    wide = ("network.widths=[16,16]", *QUICK[1:])
    words = (*wide, "execution.kernels=true")
    if not kernels.available():
        pytest.skip("the kernels are not built here")
    runs = [
        api.train(photographs, steps=9, out=tmp_path / name, assignments=words)
        for name in ("first", "second")
    ]
    assert not runs[0].execution.is_plain
    assert runs[0].execution.methods
    asked = iter([None] * 4)
    monkeypatch.setattr(
        Interrupt, "signal_number", property(lambda self: next(asked, 15)), raising=False
    )
    part = api.train(photographs, steps=9, out=tmp_path / "part", assignments=words)
    assert not part.is_finished
    monkeypatch.setattr(Interrupt, "signal_number", None)
    runs.append(api.resume(part.path))
    words = (*wide, "execution.exact=true")
    exact = api.train(photographs, steps=9, out=tmp_path / "exact", assignments=words)
    first = runs[0].network.state_dict()
    for run in runs[1:]:
        for name, weight in run.network.state_dict().items():
            assert torch.equal(weight, first[name]), name
    others = exact.network.state_dict()
    assert any(not torch.equal(weight, others[name]) for name, weight in first.items())


@pytest.mark.slow
def test_a_profile_changes_no_training_of_so_many_steps(photographs, tmp_path, striate):
    words = ("--steps", "4", *(word for setting in QUICK for word in ("--set", setting)))
    for name in ("before", "after"):
        done = striate("train", photographs, *words, "--out", tmp_path / name)
        assert done.returncode == 0, done.stderr
        done = striate("profile", tmp_path / name, "--seconds", "1")
        assert done.returncode == 0, done.stderr
    before, after = (api.load(tmp_path / name) for name in ("before", "after"))
    assert before.hash == after.hash
    assert before.execution == after.execution
    assert before.execution.origin == "guessed"
    weights = [(run.path / "network.safetensors").read_bytes() for run in (before, after)]
    assert weights[0] == weights[1]


def test_settings_that_say_nothing_are_left_out_of_the_hash(photographs, tmp_path):
    run = api.train(photographs, steps=2, out=tmp_path / "run", assignments=QUICK)
    written = run.config.to_json()["execution"]
    assert not {"exact", "kernels", "compile"} & set(written)
    assert RunConfig.from_json(run.config.to_json()) == run.config


def test_a_training_does_not_wait_for_torchs_compiler_to_be_imported(photographs, tmp_path):
    """That takes a second: much of a short training."""
    out = tmp_path / "run"
    words = ["striate", "train", str(photographs), "--minutes", "0.1", "--out", str(out)]
    code = (
        f"import sys\nfrom striate.cli import main\nsys.argv = {words!r}\n"
        "try:\n    main()\nfinally:\n    print('torch._dynamo' in sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.stderr.splitlines()[-1] == "False", done.stderr
    assert (out / "report.html").is_file()
