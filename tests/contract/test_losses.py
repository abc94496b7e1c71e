"""What every loss of classification promises, for each name in the table."""

import inspect
import math

import jaxtyping
import pytest
import torch
from torch import Tensor

from striate.errors import ConfigError, DataError, ShapeError
from striate.losses import LOSSES, expected_loss_at_chance, num_valid_targets
from striate.registry import Pick

SHAPES = {"rows": (5, 3), "maps": (2, 4, 3, 5)}


def batch(kind: str, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random scores (B, K, *S) in float64 and targets in which one is ignored."""
    draw = torch.Generator().manual_seed(seed)
    shape = SHAPES[kind]
    scores = torch.randn(shape, generator=draw, dtype=torch.float64) * 2
    target = torch.randint(0, shape[1], (shape[0], *shape[2:]), generator=draw)
    target.view(-1)[3] = -100
    return scores, target


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package as a person runs it, without the annotation checks of the tests."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


CLASSIFICATION = (
    "softmax_cross_entropy",
    "hinge",
    "logistic",
    "focal",
    "median_frequency_cross_entropy",
)
"""Losses of scores (B, K, *S) and class numbers."""


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("name", CLASSIFICATION)
class TestEveryLoss:
    def test_gradient_equals_finite_differences(self, name: str, kind: str) -> None:
        scores, target = batch(kind)
        scores.requires_grad_()
        assert torch.autograd.gradcheck(lambda s: LOSSES[name](s, target), (scores,))

    def test_second_derivative_exists(self, name: str, kind: str) -> None:
        scores, target = batch(kind)
        scores.requires_grad_()
        (first,) = torch.autograd.grad(LOSSES[name](scores, target), scores, create_graph=True)
        if first.requires_grad:  # the hinge's is constant between its kinks
            (second,) = torch.autograd.grad(first.square().sum(), scores)
            assert torch.isfinite(second).all()

    def test_reductions_agree(self, name: str, kind: str) -> None:
        scores, target = batch(kind)
        each = LOSSES[name](scores, target, reduction="none")
        assert each.shape == target.shape
        assert each[target == -100].count_nonzero() == 0
        torch.testing.assert_close(LOSSES[name](scores, target, reduction="sum"), each.sum())
        if name != "median_frequency_cross_entropy":  # its mean has the weights below it
            mean = each.sum() / num_valid_targets(target)
            torch.testing.assert_close(LOSSES[name](scores, target), mean)

    def test_ignored_targets_count_for_nothing(self, name: str, kind: str) -> None:
        scores, target = batch(kind)
        other = torch.where((target == -100).unsqueeze(1), scores * 3 + 1, scores)
        assert not torch.equal(other, scores)
        torch.testing.assert_close(
            LOSSES[name](other, target), LOSSES[name](scores, target), rtol=0, atol=0
        )

    def test_without_a_valid_target_loss_and_gradient_are_zero(self, name: str, kind: str) -> None:
        scores, target = batch(kind)
        scores.requires_grad_()
        loss = LOSSES[name](scores, torch.full_like(target, -100))
        (gradient,) = torch.autograd.grad(loss, scores)
        assert loss.item() == 0
        assert gradient.count_nonzero() == 0

    def test_order_of_classes_does_not_matter(self, name: str, kind: str) -> None:
        scores, target = batch(kind)
        order = torch.randperm(scores.shape[1], generator=torch.Generator().manual_seed(1))
        renamed = torch.where(target >= 0, order.argsort()[target.clamp(min=0)], target)
        assert not torch.equal(renamed, target)
        torch.testing.assert_close(
            LOSSES[name](scores[:, order], renamed), LOSSES[name](scores, target)
        )
        with pytest.raises(AssertionError, match="not close"):
            torch.testing.assert_close(
                LOSSES[name](scores[:, order], target), LOSSES[name](scores, target)
            )

    def test_stays_finite_for_huge_scores(self, name: str, kind: str) -> None:
        scores, target = batch(kind)
        huge = (scores * 1e4).requires_grad_()
        loss = LOSSES[name](huge, target)
        (gradient,) = torch.autograd.grad(loss, huge)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()

    def test_accepts_small_integers_and_single_precision(self, name: str, kind: str) -> None:
        scores, target = batch(kind)
        single = LOSSES[name](scores.float(), target.to(torch.int16))
        assert single.dtype == torch.float32
        torch.testing.assert_close(
            single.double(), LOSSES[name](scores, target), rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("num_classes", [2, 3, 10, 37])
@pytest.mark.parametrize("name", CLASSIFICATION)
def test_equal_scores_have_the_loss_of_chance(name: str, num_classes: int) -> None:
    scores = torch.full((41, num_classes), 0.3, dtype=torch.float64)
    target = torch.arange(41) % num_classes
    expected = expected_loss_at_chance(name, num_classes)
    assert expected is not None
    assert math.isclose(LOSSES[name](scores, target).item(), expected, rel_tol=1e-12)


@pytest.mark.parametrize("name", CLASSIFICATION)
@pytest.mark.usefixtures("unchecked")
class TestErrors:
    def test_shapes_that_do_not_fit(self, name: str) -> None:
        with pytest.raises(ShapeError, match=r"\(4, 3\) and targets of shape \(4, 3\)"):
            LOSSES[name](torch.randn(4, 3), torch.zeros(4, 3, dtype=torch.long))

    def test_class_out_of_range(self, name: str) -> None:
        with pytest.raises(DataError, match=r"Target 7 is not a class: .* 0 to 2"):
            LOSSES[name](torch.randn(2, 3), torch.tensor([1, 7]))

    def test_unknown_reduction(self, name: str) -> None:
        with pytest.raises(ConfigError, match="reduction='average' is unknown"):
            LOSSES[name](torch.randn(2, 3), torch.tensor([1, 2]), reduction="average")


@pytest.mark.parametrize("name", LOSSES)
def test_the_table_describes_itself(name: str) -> None:
    assert LOSSES.describe(name).endswith(".")
    assert LOSSES[name].__name__ == f"{name}_loss"
    assert "reduction" in inspect.signature(LOSSES[name]).parameters


def test_a_pick_binds_its_arguments() -> None:
    loss = LOSSES.bind(Pick("hinge", margin=0.5), ("scores", "target"))
    value = loss(torch.tensor([[1.0, 2.0, 0.7]]), torch.tensor([0]))
    torch.testing.assert_close(value, torch.tensor(1.7))
