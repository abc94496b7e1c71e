"""Published weights on the command line's door: measured as they are, or trained further."""

import hashlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from striate import api
from striate.api.crossvalidation import cross_validate
from striate.api.pretrained import evaluate_pretrained
from striate.cli.prediction import evaluate
from striate.config import RunConfig
from striate.data import ImageSpec, decode_image
from striate.data.loader import Normalisation
from striate.errors import ConfigError, RunError
from striate.networks import NETWORKS, PRETRAINED, load_pretrained
from striate.networks.keymap import published_key
from striate.networks.weight import Preparation, Weights
from striate.optim import OPTIMISERS
from striate.registry import Pick
from striate.terminal import Reporter
from striate.training import features as feature_module
from striate.training.events import read_events
from striate.training.transfer import FrozenFeatures, head_first_groups, slow_features

QUICK = ("training.batch_size=16", "execution.threads=1")


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file of a network that is published under the name "tiny", for classes by name."""
    torch.manual_seed(3)
    network = NETWORKS.build(Pick("resnet", depth=8, width=4), num_classes=3)
    network(torch.randn(5, 3, 12, 12))  # moves the averages off their start
    state = {published_key("cifar/resnet", k): t for k, t in network.state_dict().items()}
    path = tmp_path / "tiny.pth"
    torch.save(state, path)
    weights = Weights(
        network=Pick("resnet", depth=8, width=4),
        layout="cifar/resnet",
        file=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest()[:8],
        preparation=Preparation((12, 12), (0.4, 0.5, 0.6), (0.2, 0.3, 0.25), 14, "bicubic"),
        num_classes=3,
        classes="posts, Stripes, hill",
        licence="none",
        top1_error=60.0,
        top5_error=None,
        measured_on="nothing",
        url=None,
    )
    monkeypatch.setitem(PRETRAINED, "tiny", weights)
    monkeypatch.delenv("STRIATE_DATA", raising=False)
    return path


class TestEvaluate:
    def test_a_set_without_splits_is_measured_whole(self, published, photographs, tmp_path):
        found = evaluate_pretrained(published, photographs)
        network, preparation = load_pretrained(published), PRETRAINED["tiny"].preparation
        wrong = 0
        for truth, name in enumerate(("posts", "stripes", "hill")):
            paths = sorted((photographs / name).glob("*.png"))
            x = torch.stack([preparation(Image.open(path)) for path in paths])
            with torch.inference_mode():
                wrong += int((network(x).argmax(1) != truth).sum())
        assert (found.metrics.error.count, found.metrics.n) == (wrong, 90)
        assert 0 < wrong < 90
        assert found.metrics.class_names == ("posts", "Stripes", "hill")
        assert found.opening is None
        notes = " ".join(found.notes())
        assert "published: error 60.0 %" in notes
        assert "all of their images were measured" in notes
        assert "outputs: hill is output 2, posts is output 0, stripes is output 1" in notes
        stored = json.loads(json.dumps(found.to_json()))
        assert stored["measures"]["error"]["count"] == wrong
        assert stored["weights"]["sha256"] == hashlib.sha256(published.read_bytes()).hexdigest()

    def test_a_test_split_is_opened_through_the_ledger(self, published, photographs, tmp_path):
        pixels = [np.asarray(Image.open(p)) for p in sorted(photographs.glob("*/*.png"))]
        labels = np.repeat([2, 0, 1], 30)
        path = tmp_path / "set.npz"
        arrays = {"x_train": pixels[::2], "y_train": labels[::2]}
        arrays |= {"x_test": pixels[1::2], "y_test": labels[1::2]}
        np.savez(path, **arrays, class_names=np.array(["posts", "stripes", "hill"]))
        for number in (1, 2):
            found = evaluate_pretrained(published, path)
            assert (found.opening, found.metrics.n) == (number, 45)
            assert not found.findings
        run = train(path, tmp_path / "run", published)
        assert run.evaluate().opening == 3  # the same split by its content

    def test_prediction_and_publication_prepare_alike(self):
        pixels = np.random.default_rng(5).integers(0, 256, (51, 70, 3), dtype=np.uint8)
        for image in (Image.fromarray(pixels), Image.fromarray(pixels[..., 0])):
            preparation = Preparation((31, 29), (0.1, 0.2, 0.3), (0.2, 0.3, 0.4), 33, "bicubic")
            spec = ImageSpec((31, 29), 3, resize=33, interpolation="bicubic")
            x = torch.from_numpy(decode_image(image, spec).copy()).permute(2, 0, 1)[None] / 255
            ours = Normalisation(preparation.mean, preparation.deviation)(x)
            torch.testing.assert_close(ours[0], preparation(image), rtol=1e-6, atol=1e-6)
        assert ImageSpec((3, 3), 1).to_json() == {
            "input_size": [3, 3],
            "channels": 1,
            "fit": "crop",
        }

    def test_another_file_has_no_published_figure(self, published, photographs, tmp_path):
        content = torch.load(published, weights_only=True)
        content["linear.bias"] += torch.tensor([0.0, 0.0, 99.0])
        torch.save(content, tmp_path / "mine.pth")
        with pytest.raises(ConfigError, match="--network NAME"):
            evaluate_pretrained(tmp_path / "mine.pth", photographs)
        found = evaluate_pretrained(tmp_path / "mine.pth", photographs, network="tiny")
        assert found.metrics.error.count == 60  # it says "hill" to everything
        assert "is not the published one" in found.notes()[0]

    def test_classes_that_do_not_match_are_told(self, published, photographs):
        (photographs / "hill").rename(photographs / "valley")
        with pytest.raises(ConfigError, match="'valley' cannot be matched"):
            evaluate_pretrained(published, photographs)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({}, "Give a run"),
            ({"runs": [Path("run")], "network": "resnet"}, "Give a run"),
            ({"pretrained": "resnet20"}, "are measured on data"),
            ({"pretrained": "rasnet20-cifar10", "data": "digits"}, "mean 'resnet20-cifar10'"),
        ],
    )
    def test_mistakes_are_told(self, options, message):
        with pytest.raises(ConfigError, match=message):
            evaluate(**options)

    def test_the_command_prints_and_writes(self, published, photographs, tmp_path, capsys):
        evaluate(pretrained=str(published), data=str(photographs), json_=tmp_path / "m.json")
        said = capsys.readouterr().out
        assert "n = 90; in brackets: 95 % intervals" in said
        assert "published: error 60.0 % (nothing)" in said
        assert json.loads((tmp_path / "m.json").read_text())["measures"]["n"] == 90


class StopAt(Reporter):
    """Sends the signal that a person or a queue sends, after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def event(self, event: dict[str, Any]) -> None:
        if event["event"] == "step" and event["step"] == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


def train(data: Path, out: Path, published: Path, **more: Any) -> api.Run:
    words = (*QUICK, *more.pop("assignments", ()))
    return api.train(
        data, pretrained=published, steps=20, out=out, assignments=words, seed=5, **more
    )


def tensors(run: api.Run) -> dict[str, torch.Tensor]:
    return run.folder.read_tensors(run.folder.weights)


class TestTrain:
    def test_the_run_says_what_it_starts_from(self, published, photographs, tmp_path):
        rows: list[Any] = []

        class Told(Reporter):
            def choices(self, chosen):
                rows.extend(chosen)

        run = train(photographs, tmp_path / "run", published, reporter=Told())
        config = run.config
        assert config.network == Pick("resnet", depth=8, width=4)
        assert config.data.input_size == (12, 12)
        assert config.pretrained is not None
        assert config.pretrained.sha256 == hashlib.sha256(published.read_bytes()).hexdigest()
        assert run.normalise == Normalisation((0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
        why = {row.what: row.why for row in rows}
        assert why["network"] == "as the weights expect"
        assert why["input size"] == "the weights' own size"
        frozen = next(row for row in rows if row.what == "frozen")
        assert frozen.value == "nothing: all layers learn"
        assert "solved on features before the first step" in frozen.why
        assert RunConfig.from_json(config.to_json()) == config

    def test_any_of_its_settings_can_be_changed(self, published, photographs, tmp_path):
        words = ("pretrained.feature_rate=0.5", "pretrained.freeze=0.25")
        run = train(photographs, tmp_path / "run", published, assignments=words)
        assert run.config.pretrained is not None
        assert (run.config.pretrained.feature_rate, run.config.pretrained.freeze) == (0.5, 0.25)

    def test_only_the_head_learns_where_all_is_frozen(self, published, photographs, tmp_path):
        keep = ("training.ema_half_life=null",)
        run = train(photographs, tmp_path / "run", published, freeze=1.0, assignments=keep)
        before, after = load_pretrained(published).state_dict(), tensors(run)
        for key, tensor in after.items():
            if key.startswith("head."):
                assert not torch.equal(tensor, before[key])
            elif not key.endswith("num_batches_tracked"):
                assert torch.equal(tensor, before[key]), key
        for averages, moves in (("held", False), ("adapted", True)):
            words = (*keep, f"pretrained.averages={averages}")
            out = tmp_path / averages
            released = tensors(train(photographs, out, published, freeze=0.0, assignments=words))
            moved = {key for key in before if not torch.equal(released[key], before[key])}
            assert "stem.0.weight" in moved
            assert ("stem.1.running_mean" in moved) == moves

    def test_a_run_lends_its_features(self, published, photographs, tmp_path):
        first = train(photographs, tmp_path / "one", published)
        keep = ("training.ema_half_life=null",)
        second = train(photographs, tmp_path / "two", first.path, freeze=1.0, assignments=keep)
        assert second.normalise == first.normalise
        assert second.config.pretrained is not None
        content = hashlib.sha256(first.folder.weights.read_bytes())
        assert second.config.pretrained.sha256 == content.hexdigest()
        assert second.config.network == first.config.network
        assert second.config.data.input_size == first.config.data.input_size
        before, after = tensors(first), tensors(second)
        for key, tensor in after.items():
            if not key.endswith("num_batches_tracked"):
                assert torch.equal(tensor, before[key]) != key.startswith("head."), key
        words = {"steps": 2, "out": tmp_path / "three", "pretrained": first.path}
        with pytest.raises(ConfigError, match="has trained the network resnet"):
            api.train(photographs, network="airbench", **words)
        with pytest.raises(ConfigError, match=r"take RGB images; leave data\.channels out"):
            api.train(photographs, assignments=("data.channels=1",), **words)
        first.folder.weights.unlink()
        with pytest.raises(RunError, match="has not ended; continue it with"):
            api.train(photographs, **words)

    def test_a_solved_layer_alone_needs_no_step(self, published, photographs, tmp_path):
        run = train(photographs, tmp_path / "run", published, freeze=1.0)
        events = read_events(run.folder.events)
        assert [e["event"] for e in events] == [
            "head", "start", "execution", "validation", "finished",
        ]  # fmt: skip
        assert events[0]["text"].startswith("The last layer is solved on 16 features of ")
        assert {e["step"] for e in events} == {0}
        assert run.is_finished
        assert "last layer is solved" in (run.path / "report.html").read_text()
        weight = tensors(run)["head.weight"]
        again = train(photographs, tmp_path / "again", published, freeze=1.0)
        assert torch.equal(weight, tensors(again)["head.weight"])
        # Killed before its first checkpoint, it begins anew and ends on the same bits.
        for path in (*run.folder.checkpoints.iterdir(), run.folder.weights, run.folder.events):
            path.unlink()
        assert torch.equal(weight, tensors(api.resume(run.path))["head.weight"])

    def test_few_images_are_validated_in_turn(self, published, photographs, tmp_path):
        apart = ("data.validation=apart",)
        other = train(photographs, tmp_path / "a", published, freeze=1.0, assignments=apart)
        run = train(photographs, tmp_path / "run", published, freeze=1.0)
        counts, before = run.record["data"]["counts"], other.record["data"]["counts"]
        assert counts["test"] == before["test"]
        assert counts["train"] == counts["validation"] == before["train"] + before["validation"]
        assert run.validation.error.n == counts["train"]
        assert run.config.data.validation == "in turn"
        assert "predicted by a last layer solved without it" in (run.path / "run.json").read_text()
        assert "was solved without it" in (run.path / "report.html").read_text()
        # Stopped before its validation, it computes the features again and finds the same.
        kept = run.folder.predictions.read_bytes()
        run.folder.predictions.unlink()
        run.folder.weights.unlink()
        for path in run.path.glob("report.*"):
            path.unlink()
        again = api.resume(run.path)
        assert again.folder.predictions.read_bytes() == kept
        assert again.validation.to_json() == run.validation.to_json()
        for words in (("data.validation_fraction=0.3",), ("data.folds=3",)):
            options = {"freeze": 1.0, "assignments": words}
            some = train(photographs, tmp_path / words[0], published, **options)
            assert some.config.data.validation == "apart"

    def test_folds_compute_the_features_of_each_image_once(
        self, published, photographs, tmp_path, monkeypatch
    ):
        computed: list[str] = []
        features_of = feature_module.features_of

        def counted(model, split, *views, **more):
            computed.extend(split.names if more.get("progress") else ())
            return features_of(model, split, *views, **more)

        monkeypatch.setattr(feature_module, "features_of", counted)
        monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
        options = {"pretrained": published, "freeze": 1.0, "assignments": QUICK, "minutes": 0.3}
        study = cross_validate(photographs, folds=3, out=tmp_path / "cv", **options)
        assert len(study.runs) == 3
        outside = study.runs[0].record["data"]["counts"]
        assert len(computed) == outside["train"] + outside["validation"]
        assert len(set(computed)) == len(computed)

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (("pretrained.freeze=0.5",), "is for a last layer alone, solved on published weights"),
            (("pretrained.head=zero",), "is for a last layer alone"),
            (("data.folds=3",), "folds have a validation split each; leave out one"),
        ],
    )
    def test_what_is_validated_in_turn_is_a_solved_layer(
        self, published, photographs, tmp_path, words, message
    ):
        words = ("pretrained.freeze=1", *words, "data.validation=in turn")
        with pytest.raises(ConfigError, match=message):
            train(photographs, tmp_path / "run", published, assignments=words)
        assert not (tmp_path / "run").exists()

    @pytest.mark.slow
    def test_a_resumed_training_is_the_same(self, published, photographs, tmp_path):
        """Stopped while frozen (before step 8) and after it; the file is gone by then."""
        whole = tensors(train(photographs, tmp_path / "whole", published, freeze=0.4))
        runs = [
            train(photographs, tmp_path / str(n), published, freeze=0.4, reporter=StopAt(n))
            for n in (7, 12)
        ]
        other = tensors(train(photographs, tmp_path / "other", published, freeze=0.45))
        published.rename(tmp_path / "elsewhere.pth")
        for run in runs:
            assert run.stopped_by == signal.SIGTERM
            resumed = tensors(api.resume(run.path))
            assert whole.keys() == resumed.keys()
            for key, tensor in whole.items():
                assert torch.equal(tensor, resumed[key]), key
        answer = api.load(run.path).predict(next(photographs.glob("hill/*.png")))[0]
        assert answer.label in run.class_names
        # the twin: one step more in the frozen stage gives other weights
        assert not torch.equal(whole["stem.0.weight"], other["stem.0.weight"])

    def test_without_file_and_checkpoint_nothing_begins(self, published, photographs, tmp_path):
        run = train(photographs, tmp_path / "run", published, reporter=StopAt(2))
        for path in run.folder.checkpoints.iterdir():
            path.unlink()
        content = published.read_bytes()
        for change in (published.unlink, lambda: published.write_bytes(content + b"more")):
            change()
            with pytest.raises(RunError, match=r"no checkpoint yet.*is gone or has changed"):
                api.resume(run.path)
        published.write_bytes(content)
        assert api.resume(run.path).is_finished

    def test_a_changed_file_is_no_matter_to_a_checkpoint(self, published, photographs, tmp_path):
        run = train(photographs, tmp_path / "run", published, reporter=StopAt(2))
        published.write_bytes(published.read_bytes() + b"more")
        assert api.resume(run.path).is_finished

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"network": {"name": "vgg"}}, "belong to the network resnet"),
            ({"data": {"channels": 1}}, "take RGB images"),
            ({"pretrained": {"freeze": 1.5}}, "pretrained.freeze=1.5 must lie between 0 and 1"),
        ],
    )
    def test_settings_that_do_not_go_together(
        self, published, photographs, tmp_path, settings, message
    ):
        with pytest.raises(ConfigError, match=message):
            train(photographs, tmp_path / "run", published, settings=settings)

    def test_freezing_needs_weights(self, photographs, tmp_path):
        with pytest.raises(ConfigError, match="add --pretrained NAME"):
            api.train(photographs, freeze=0.5, out=tmp_path / "run")

    def test_the_first_loss_is_that_of_chance(self, published, photographs, tmp_path):
        words = ("pretrained.head=zero",)
        run = train(photographs, tmp_path / "run", published, assignments=words)
        assert run.config.pretrained is not None
        assert run.config.pretrained.freeze == 0.3
        first = next(e for e in read_events(run.folder.events) if e["event"] == "step")
        assert first["loss"] == pytest.approx(np.log(3), abs=1e-5)  # float32, label smoothing


class TestFrozenFeatures:
    @pytest.fixture
    def network(self) -> nn.Module:
        torch.manual_seed(2)
        return NETWORKS.build(Pick("resnet", depth=8, width=4), num_classes=3).train()

    def test_norms_stand_still_while_frozen(self, network):
        frozen = FrozenFeatures(network, 0.5)
        norm = network.get_submodule("stem.1")
        before = norm.running_mean.clone()
        frozen.follow(0.49)
        network(torch.randn(4, 3, 12, 11) + 3)
        assert torch.equal(norm.running_mean, before)
        frozen.follow(0.5)
        network(torch.randn(4, 3, 12, 11) + 3)
        assert not torch.equal(norm.running_mean, before)
        assert all(p.requires_grad for p in network.parameters())

    def test_what_never_learned_stays_so(self, network):
        network.get_parameter("stem.0.weight").requires_grad_(False)
        frozen = FrozenFeatures(network, 0.5)
        frozen.follow(0.9)
        assert not network.get_parameter("stem.0.weight").requires_grad

    @pytest.mark.parametrize("name", list(OPTIMISERS))
    def test_every_optimiser_leaves_frozen_features_alone(self, network, name):
        optimiser = OPTIMISERS.build(Pick(name), head_first_groups(network))
        slow_features(optimiser, network, 0.1)
        rates = sorted({group["lr"] for group in optimiser.param_groups})
        assert rates[0] == pytest.approx(0.1 * rates[-1])
        frozen = FrozenFeatures(network, 0.5)
        before = {name: p.detach().clone() for name, p in network.named_parameters()}
        for progress, moves in ((0.0, False), (0.6, True)):
            frozen.follow(progress)
            network(torch.randn(4, 3, 12, 12)).square().sum().backward()
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            same = torch.equal(before["stem.0.weight"], network.get_parameter("stem.0.weight"))
            assert same != moves
            assert not torch.equal(before["head.weight"], network.get_parameter("head.weight"))


@pytest.mark.data
class TestRealWeights:
    def test_resnet_on_lossless_images(self, real_data):
        found = evaluate_pretrained("resnet20-cifar10", real_data / "cifar10-test1000-lossless.npz")
        assert abs(found.metrics.error.count - 85) <= 2  # rounding may turn a tie
        error = found.metrics.error
        assert error.low < PRETRAINED["resnet20"].top1_error / 100 < error.high

    @pytest.mark.parametrize(
        ("step", "wrong"),
        [(5, (64, 21)), pytest.param(1, (355, 145), marks=pytest.mark.slow)],
    )
    def test_squeezenet_on_photographs(self, real_data, tmp_path, step, wrong):
        """68.0 and 89.5 % of every fifth, 64.5 and 85.5 % of all."""
        import tarfile

        with tarfile.open(real_data / "imagenet-samples.tar") as archive:
            archive.extractall(tmp_path, filter="data")
        paths = sorted(tmp_path.rglob("n*.[jJ][pP]*"), key=lambda path: path.name)
        rows = [f'"{path}",{k}' for k, path in enumerate(paths) if k % step == 0]
        (tmp_path / "list.csv").write_text("\n".join(["path,label", *rows]))
        found = evaluate_pretrained("squeezenet1_0", tmp_path / "list.csv")
        assert abs(found.metrics.error.count - wrong[0]) <= 2
        assert abs(found.metrics.top_k_error[5].count - wrong[1]) <= 2
        assert found.metrics.n == 1000 // step
