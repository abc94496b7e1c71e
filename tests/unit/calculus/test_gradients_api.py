import pytest
import torch
import typer
from typer.testing import CliRunner

from striate.api import gradients
from striate.cli import gradients as commands
from striate.errors import ConfigError, ShapeError
from striate.losses import LOSSES
from striate.registry import Pick


def _run(*words):
    app = typer.Typer()
    for name in ("check", "graph", "jacobian", "bptt"):
        app.command(name=name)(getattr(commands, name))
    return CliRunner().invoke(app, list(words))


@pytest.mark.parametrize("loss", list(LOSSES)[:5])
def test_every_loss_passes_the_check(loss):
    report = gradients.check(
        Pick("mlp", hidden=(5,), activation="tanh"), loss, shape=(2, 3, 4), num_classes=3
    )
    assert report.ok, str(report)


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (Pick("linear"), (2, 5, 3)),
        (Pick("mlp", hidden=(4,)), (1, 9)),
        (Pick("mlp", hidden=(4,)), (1, 3, 4, 2)),
        (Pick("lenet5"), (1, 14, 14)),
    ],
    ids=str,
)
def test_small_networks_pass_in_one_two_and_three_dimensions(network, shape):
    report = gradients.check(network, shape=shape, num_classes=3)
    assert report.ok, str(report)


def test_all_problems_of_a_check_come_together():
    with pytest.raises(ConfigError) as caught:
        gradients.check("resnt", "hinje")
    assert "Did you mean 'resnet'" in str(caught.value)
    assert "Did you mean 'hinge'" in str(caught.value)
    with pytest.raises(ConfigError, match="nothing to set under 'optimiser'"):
        gradients.check("linear", assignments=("optimiser=adamw",))
    with pytest.raises(ConfigError, match="The network is named already: 'linear'"):
        gradients.check("linear", assignments=("network=mlp",))
    with pytest.raises(ConfigError, match="not both"):
        gradients.check("linear", data="digits", shape=(1, 8, 8))
    with pytest.raises(ConfigError, match="give channels and then each spatial size"):
        gradients.check("linear", shape=(3,))
    with pytest.raises(ShapeError, match="lenet5"):
        gradients.network_graph("lenet5", shape=(1, 3, 3))


def test_a_check_on_real_images_takes_their_shape_and_classes():
    report = gradients.check("linear", data="digits", batch_size=3)
    shapes = {tensor.name: tensor.shape for tensor in report.tensors}
    assert shapes["input"] == (3, 1, 8, 8)
    assert report.ok
    with pytest.raises(ConfigError, match="The data have 10 classes"):
        gradients.check("linear", data="digits", num_classes=3)


def test_the_check_command_tells_by_its_exit_code(monkeypatch):
    words = ("check", "linear", "--shape", "1,3,4", "--classes", "3")
    fine = _run(*words)
    assert fine.exit_code == 0, fine.output
    assert "The gradients of all 3 tensors are right." in fine.output
    broken = torch.nn.functional.cross_entropy

    def detached(scores, target):
        return broken(scores.detach() + 0 * scores, target)

    monkeypatch.setitem(LOSSES._entries, "softmax_cross_entropy", detached)
    failed = _run(*words)
    assert failed.exit_code == 1
    assert "2 of 3 gradients fail" in failed.output


def test_the_graph_command_draws_formulas_and_networks(tmp_path):
    svg = tmp_path / "graph.svg"
    shown = _run("graph", "(x+y)*z", "x=-2", "y=5", "z=-4", "--svg", str(svg))
    assert shown.exit_code == 0, shown.output
    assert "gradient of z: 3" in shown.output
    assert "(x+y)*z" in svg.read_text("utf-8")
    both = tmp_path / "mirror.svg"
    network = _run("graph", "lenet5", "--shape", "1,28,28", "--mirror", str(both), "--depth", "2")
    assert network.exit_code == 0, network.output
    assert "features.c1: Conv2d" in network.output
    assert "parameters, gradient" in network.output
    assert "ᴮᴾ" in both.read_text("utf-8")
    every = _run("graph", "linear", "--shape", "1,4,4", "--depth", "0")
    assert "linear → output" in every.output


def test_graph_words_that_do_not_fit():
    for words, match in (
        (("linear", "x=1"), "is a network; values are for"),
        (("x+y", "x=1"), "needs a value for y"),
        (("x+y", "x=1", "y=2", "--mirror", "m.svg"), "--mirror draws networks"),
        (("linear", "--shape", "3,a"), "--shape 3,a is no shape"),
    ):
        result = _run("graph", *words)
        assert isinstance(result.exception, ConfigError)
        assert match in str(result.exception)


def test_the_jacobian_command(tmp_path):
    svg = tmp_path / "jacobian.svg"
    shown = _run("jacobian", "[[1, 2], [3, 4]] @ x * w", "x=[1, 1]", "w=2", "--svg", str(svg))
    assert shown.exit_code == 0, shown.output
    assert [line.split() for line in shown.output.splitlines()[:2]] == [["2", "4"], ["6", "8"]]
    assert svg.exists()
    by = _run("jacobian", "[[1, 2], [3, 4]] @ x * w", "x=[1, 1]", "w=2", "--by", "w")
    assert by.output.split() == ["3", "7"]
    assert "has no 'q'" in str(_run("jacobian", "x*x", "x=1", "--by", "q").exception)


def test_the_bptt_command(tmp_path):
    png = tmp_path / "bptt.png"
    shown = _run("bptt", "--cell", "lstm", "--steps", "5", "--seeds", "2", "--png", str(png))
    assert shown.exit_code == 0, shown.output
    assert "median of 2 seeds" in shown.output
    assert png.exists()
