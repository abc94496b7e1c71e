"""The parts of the losses that are no arithmetic: messages, choices of weights, chance."""

import math

import jaxtyping
import pytest
import torch
from torch import nn

from striate import losses
from striate.errors import ConfigError, ShapeError


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package as a person runs it, without the annotation checks of the tests."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


class TestPenalisedWeights:
    def network(self) -> nn.Module:
        shared = nn.Linear(5, 5)
        return nn.Sequential(
            nn.Conv2d(3, 5, 3),
            nn.BatchNorm2d(5),
            nn.GroupNorm(1, 5),
            nn.LayerNorm(5),
            shared,
            shared,
            nn.LSTM(5, 2),
        )

    def test_leaves_out_biases_and_norms(self) -> None:
        shapes = [tuple(w.shape) for w in losses.penalised_weights(self.network())]
        assert shapes == [(5, 3, 3, 3), (5, 5), (8, 5), (8, 2)]

    def test_takes_biases_when_asked(self) -> None:
        shapes = [tuple(w.shape) for w in losses.penalised_weights(self.network(), biases=True)]
        assert shapes == [(5, 3, 3, 3), (5,), (5, 5), (5,), (8, 5), (8, 2), (8,), (8,)]

    def test_nothing_to_penalise(self) -> None:
        assert losses.l2_penalty(losses.penalised_weights(nn.BatchNorm1d(3))).item() == 0

    def test_gradient(self) -> None:
        weight = torch.tensor([[1.5, -2.0]], requires_grad=True)
        losses.elastic_net_penalty([weight], l1=0.3, l2=0.7).backward()
        expected = 0.3 * weight.detach().sign() + 1.4 * weight.detach()
        torch.testing.assert_close(weight.grad, expected)


class TestChance:
    def test_arguments_of_the_loss(self) -> None:
        expected = losses.expected_loss_at_chance
        assert expected("softmax_cross_entropy", 7, label_smoothing=0.1) == math.log(7)
        assert expected("hinge", 7, margin=0.5, squared=True) == 6 * 0.25
        assert expected("hinge", 7, margin=0.5, include_correct=True) == 3.5
        assert expected("logistic", 1) == math.log(2)
        assert expected("of one's own", 7) is None

    @pytest.mark.parametrize(
        ("loss", "reason"),
        [(9.1, "not normalised"), (0.1, "leaks into the input"), (math.nan, "NaN or infinity")],
    )
    def test_reasons(self, loss: float, reason: str) -> None:
        warning = losses.chance_warning(loss, math.log(10))
        assert warning is not None
        assert reason in warning
        assert "2.303" in warning

    def test_no_warning_near_chance(self) -> None:
        for loss in (1.6, 2.2, 2.31, 3.3):
            assert losses.chance_warning(loss, math.log(10)) is None
        assert losses.chance_warning(99.0, None) is None

    def test_needs_classes(self) -> None:
        with pytest.raises(ConfigError, match="num_classes=0"):
            losses.expected_loss_at_chance("hinge", 0)


@pytest.mark.usefixtures("unchecked")
class TestMessages:
    def test_label_smoothing(self) -> None:
        with pytest.raises(ConfigError, match=r"label_smoothing=1\.5 must lie"):
            losses.softmax_cross_entropy_loss(
                torch.randn(2, 3), torch.tensor([0, 1]), label_smoothing=1.5
            )

    def test_class_weights(self) -> None:
        with pytest.raises(ShapeError, match=r"\(2,\) do not fit 3 classes"):
            losses.hinge_loss(torch.randn(2, 3), torch.tensor([0, 1]), class_weights=torch.rand(2))

    def test_distribution_of_another_shape(self) -> None:
        with pytest.raises(ShapeError, match=r"\(2, 4\) do not fit scores of shape \(2, 3\)"):
            losses.softmax_cross_entropy_loss(torch.randn(2, 3), torch.rand(2, 4))

    def test_restoration_never_broadcasts(self) -> None:
        for loss in (losses.l1_loss, losses.l2_loss, losses.smooth_l1_loss):
            with pytest.raises(ShapeError, match=r"\(2, 3\) and a target of shape \(2, 1\)"):
                loss(torch.randn(2, 3), torch.randn(2, 1))

    def test_ctc_lengths(self) -> None:
        with pytest.raises(ShapeError, match=r"target_lengths .* at most 2"):
            losses.ctc_loss(torch.randn(1, 3, 5), torch.tensor([[1, 2]]), torch.tensor([3]))

    def test_options(self) -> None:
        x = torch.randn(2, 3)
        with pytest.raises(ConfigError, match=r"focus=-1"):
            losses.focal_loss(x, torch.tensor([0, 1]), focus=-1)
        with pytest.raises(ConfigError, match=r"epsilon=0"):
            losses.charbonnier_loss(x, x, epsilon=0.0)
        with pytest.raises(ConfigError, match=r"delta=0"):
            losses.huber_loss(x, x, delta=0.0)
        with pytest.raises(ConfigError, match=r"beta=-1"):
            losses.smooth_l1_loss(x, x, beta=-1.0)


def test_binary_cross_entropy_is_torchs() -> None:
    draw = torch.Generator().manual_seed(3)
    scores = torch.randn(7, 3, generator=draw)
    target = (torch.rand(7, 3, generator=draw) < 0.4).float()
    weights = [1.0, 2.5, 0.5]
    for given in (None, weights, torch.tensor(weights)):
        expected = torch.nn.BCEWithLogitsLoss(
            pos_weight=None if given is None else torch.tensor(weights), reduction="none"
        )(scores, target)
        each = losses.binary_cross_entropy_loss(
            scores, target, reduction="none", positive_weights=given
        )
        torch.testing.assert_close(each, expected)
        mean = losses.binary_cross_entropy_loss(scores, target, positive_weights=given)
        torch.testing.assert_close(mean, expected.mean())
    assert losses.binary_cross_entropy_loss(scores.double(), target).dtype == torch.float64
    with pytest.raises(ShapeError, match="one weight for each label"):
        losses.binary_cross_entropy_loss(scores, target, positive_weights=[1.0, 2.0])
    with pytest.raises(ShapeError, match="one target, 0 or 1, for each score"):
        losses.binary_cross_entropy_loss(scores, target[:, :2])
