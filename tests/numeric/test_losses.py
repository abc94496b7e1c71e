"""Losses against independent arithmetic: numpy, torch's own, enumeration."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from striate import losses
from striate.errors import ConfigError

CAT, CAR, FROG = 0, 1, 2
COURSE_SCORES = torch.tensor(
    [[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]], dtype=torch.float64
)
COURSE_TARGET = torch.tensor([CAT, CAR, FROG])


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def classes(num_classes: int, *shape: int, seed: int = 1) -> Tensor:
    return torch.randint(0, num_classes, shape, generator=torch.Generator().manual_seed(seed))


class TestWorkedExampleOfTheCourses:
    def test_hinge(self) -> None:
        each = losses.hinge_loss(COURSE_SCORES, COURSE_TARGET, reduction="none")
        torch.testing.assert_close(each, torch.tensor([2.9, 0.0, 12.9], dtype=torch.float64))
        mean = losses.hinge_loss(COURSE_SCORES, COURSE_TARGET)
        assert f"{mean.item():.2f}" == "5.27"

    def test_softmax(self) -> None:
        probability = torch.softmax(COURSE_SCORES[0], 0)
        assert [f"{p:.2f}" for p in probability.tolist()] == ["0.13", "0.87", "0.00"]
        loss = losses.softmax_cross_entropy_loss(COURSE_SCORES[:1], COURSE_TARGET[:1])
        assert f"{loss.item():.2f}" == "2.04"

    def test_sum_over_all_classes_adds_the_margin(self) -> None:
        scores, target = draw(7, 5), classes(5, 7)
        for margin in (1.0, 0.3):
            without = losses.hinge_loss(scores, target, margin=margin, reduction="none")
            with_all = losses.hinge_loss(
                scores, target, margin=margin, include_correct=True, reduction="none"
            )
            torch.testing.assert_close(with_all, without + margin, rtol=1e-10, atol=1e-12)

    def test_regularisation(self) -> None:
        x = torch.full((4,), 1.0)
        one, spread = torch.tensor([1.0, 0, 0, 0]), torch.full((4,), 0.25)
        assert x @ one == x @ spread
        assert (losses.l2_penalty([one]).item(), losses.l2_penalty([spread]).item()) == (1, 0.25)
        assert losses.l1_penalty([one]).item() == losses.l1_penalty([spread]).item() == 1
        assert losses.elastic_net_penalty([spread], l1=0.5, l2=2.0).item() == 1.0


class TestSoftmaxCrossEntropy:
    def test_gradient_is_p_minus_y(self) -> None:
        scores, target = draw(6, 4).requires_grad_(), classes(4, 6)
        loss = losses.softmax_cross_entropy_loss(scores, target, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, scores)
        expected = torch.softmax(scores, 1) - F.one_hot(target, 4)
        torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-12)

    @pytest.mark.parametrize("label_smoothing", [0.0, 0.13])
    @pytest.mark.parametrize("weighted", [False, True])
    @pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
    def test_equals_torch(self, label_smoothing: float, weighted: bool, reduction: str) -> None:
        scores, target = draw(3, 5, 4, 7), classes(5, 3, 4, 7)
        target[1, 2] = -100
        weight = draw(5, seed=4).abs() if weighted else None
        ours = losses.softmax_cross_entropy_loss(
            scores,
            target,
            reduction=reduction,  # type: ignore[arg-type]
            class_weights=weight,
            label_smoothing=label_smoothing,
        )
        theirs = F.cross_entropy(
            scores, target, weight=weight, label_smoothing=label_smoothing, reduction=reduction
        )
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)

    @pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
    def test_equals_plain_numpy(self, label_smoothing: float) -> None:
        scores, target, weight = draw(9, 6) * 3, classes(6, 9), draw(6, seed=2).abs()
        target[4] = -100
        s, w = scores.numpy(), weight.numpy()
        log_p = s - np.log(np.exp(s).sum(1, keepdims=True))
        q = np.eye(6)[target.clamp(min=0).numpy()] * (1 - label_smoothing) + label_smoothing / 6
        rows: NDArray[np.float64] = -(w * q * log_p).sum(1)
        keep = target.numpy() >= 0
        expected = rows[keep].sum() / w[target.numpy()[keep]].sum()
        ours = losses.softmax_cross_entropy_loss(
            scores, target, class_weights=weight, label_smoothing=label_smoothing
        )
        assert math.isclose(ours.item(), expected, rel_tol=1e-10)
        unweighted = losses.softmax_cross_entropy_loss(
            scores, target, label_smoothing=label_smoothing
        )
        assert not math.isclose(unweighted.item(), expected, rel_tol=1e-3)

    def test_class_numbers_are_one_hot_distributions(self) -> None:
        scores, target, weight = draw(5, 4, 3), classes(4, 5, 3), draw(4, seed=3).abs()
        soft = F.one_hot(target, 4).movedim(-1, 1).double()
        for class_weights in (None, weight):
            for smoothing in (0.0, 0.1):
                torch.testing.assert_close(
                    losses.softmax_cross_entropy_loss(
                        scores, soft, class_weights=class_weights, label_smoothing=smoothing
                    ),
                    losses.softmax_cross_entropy_loss(
                        scores, target, class_weights=class_weights, label_smoothing=smoothing
                    ),
                    rtol=1e-10,
                    atol=1e-12,
                )

    def test_mixed_targets_mix_the_losses(self) -> None:
        scores, a, b = draw(8, 5), classes(5, 8), classes(5, 8, seed=9)
        share = 0.3
        mixed = share * F.one_hot(a, 5).double() + (1 - share) * F.one_hot(b, 5).double()
        loss = losses.softmax_cross_entropy_loss
        torch.testing.assert_close(
            loss(scores, mixed),
            share * loss(scores, a) + (1 - share) * loss(scores, b),
            rtol=1e-10,
            atol=1e-12,
        )

    def test_gradient_towards_a_distribution(self) -> None:
        scores = draw(3, 4).requires_grad_()
        target = torch.softmax(draw(3, 4, seed=7), 1)
        assert torch.autograd.gradcheck(
            lambda s: losses.softmax_cross_entropy_loss(s, target, label_smoothing=0.1), (scores,)
        )

    def test_micro_batches_weighted_by_valid_targets_give_the_whole(self) -> None:
        scores, target = draw(7, 3, 5), classes(3, 7, 5)
        target[:2] = -100
        parts = [(scores[:3], target[:3]), (scores[3:], target[3:])]
        total = sum(
            losses.softmax_cross_entropy_loss(s, t) * losses.num_valid_targets(t) for s, t in parts
        )
        whole = losses.softmax_cross_entropy_loss(scores, target)
        torch.testing.assert_close(
            total / losses.num_valid_targets(target), whole, rtol=1e-10, atol=1e-12
        )


class TestLogistic:
    def test_two_scores_are_the_sigmoid_of_their_difference(self) -> None:
        scores, target = draw(9, 2), classes(2, 9)
        ours = losses.logistic_loss(scores, target)
        torch.testing.assert_close(ours, losses.softmax_cross_entropy_loss(scores, target))
        difference = scores[:, 1] - scores[:, 0]
        binary = F.binary_cross_entropy_with_logits(difference, target.double())
        torch.testing.assert_close(ours, binary, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(
            torch.softmax(scores, 1)[:, 1], torch.sigmoid(difference), rtol=1e-10, atol=1e-12
        )

    def test_one_score_is_a_perceptron(self) -> None:
        scores, target = draw(9, 1), classes(2, 9)
        binary = F.binary_cross_entropy_with_logits(scores[:, 0], target.double())
        torch.testing.assert_close(
            losses.logistic_loss(scores, target), binary, rtol=1e-10, atol=1e-12
        )

    def test_many_scores_by_hand(self) -> None:
        scores = torch.tensor([[0.5, -1.0, 2.0]], dtype=torch.float64)
        expected = math.log1p(math.exp(0.5 + 1.0)) + math.log1p(math.exp(2.0 + 1.0))
        ours = losses.logistic_loss(scores, torch.tensor([1]))
        assert math.isclose(ours.item(), expected, rel_tol=1e-12)


class TestHinge:
    @pytest.mark.parametrize("squared", [False, True])
    @pytest.mark.parametrize("margin", [1.0, 0.4])
    def test_equals_torch(self, squared: bool, margin: float) -> None:
        scores, target = draw(11, 6), classes(6, 11)
        # torch divides by the number of classes
        theirs = 6 * F.multi_margin_loss(scores, target, p=2 if squared else 1, margin=margin)
        ours = losses.hinge_loss(scores, target, squared=squared, margin=margin)
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
        broken = losses.hinge_loss(scores, target, squared=not squared, margin=margin)
        assert not torch.allclose(broken, theirs, rtol=1e-3)

    def test_class_weights(self) -> None:
        scores, target, weight = draw(11, 6), classes(6, 11), draw(6, seed=2).abs()
        each = losses.hinge_loss(scores, target, reduction="none")
        expected = (each * weight[target]).sum() / weight[target].sum()
        torch.testing.assert_close(
            losses.hinge_loss(scores, target, class_weights=weight), expected
        )


class TestBalanced:
    def test_weights_of_eigen_and_fergus(self) -> None:
        # class 0 in both images of 100 pixels, class 1 in one of them, class 2 in none
        counts, present = torch.tensor([150, 50, 0]), torch.tensor([200, 100, 0])
        weights = losses.median_frequency_weights(counts, present)
        torch.testing.assert_close(weights, torch.tensor([0.625 / 0.75, 0.625 / 0.5, 0.0]))

    def test_uses_counts_of_the_training_set(self) -> None:
        scores, target = draw(4, 3, 5), classes(3, 4, 5)
        counts = torch.tensor([10, 20, 70])
        weights = losses.median_frequency_weights(counts).double()
        torch.testing.assert_close(
            losses.median_frequency_cross_entropy_loss(scores, target, class_counts=counts),
            F.cross_entropy(scores, target, weight=weights),
        )

    def test_half_the_balance_is_the_square_root(self) -> None:
        scores, target = draw(4, 3, 5), classes(3, 4, 5)
        counts = torch.tensor([10, 20, 70])  # their median is 20
        each = {0.5: torch.tensor([2.0, 1.0, 2 / 7]).sqrt().double(), 0.0: None}
        for balance, weights in each.items():
            torch.testing.assert_close(
                losses.median_frequency_cross_entropy_loss(
                    scores, target, class_counts=counts, balance=balance
                ),
                F.cross_entropy(scores, target, weight=weights),
                rtol=1e-6,
                atol=0,
            )
        without = losses.median_frequency_weights(torch.tensor([3, 0, 5]), balance=0.0)
        torch.testing.assert_close(without, torch.tensor([1.0, 0.0, 1.0]))

    @pytest.mark.parametrize("balance", [-0.5, math.nan, math.inf])
    def test_a_balance_that_means_nothing_is_refused(self, balance: float) -> None:
        with pytest.raises(ConfigError, match="must be 0"):
            losses.median_frequency_weights(torch.tensor([1, 2]), balance=balance)

    def test_focal_without_focus_is_cross_entropy(self) -> None:
        scores, target = draw(4, 3, 5), classes(3, 4, 5)
        torch.testing.assert_close(
            losses.focal_loss(scores, target, focus=0.0), F.cross_entropy(scores, target)
        )

    def test_focal_by_hand(self) -> None:
        scores, target, weight = draw(6, 4), classes(4, 6), draw(4, seed=3).abs()
        p = torch.softmax(scores, 1)[torch.arange(6), target]
        expected = -(weight[target] * (1 - p) ** 1.7 * p.log())
        ours = losses.focal_loss(scores, target, focus=1.7, class_weights=weight, reduction="none")
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-12)

    @pytest.mark.parametrize("focus", [0.0, 0.5, 2.0])
    def test_focal_of_a_sure_answer_has_a_finite_gradient(self, focus: float) -> None:
        scores = torch.tensor([[200.0, -200.0]], requires_grad=True)
        losses.focal_loss(scores, torch.tensor([0]), focus=focus).backward()
        assert scores.grad is not None
        assert torch.isfinite(scores.grad).all()

    def test_binary_focal_by_hand(self) -> None:
        scores, target = draw(13), classes(2, 13).double()
        p = torch.sigmoid(scores)
        expected = torch.where(
            target > 0, -0.25 * (1 - p) ** 2 * p.log(), -0.75 * p**2 * (1 - p).log()
        )
        torch.testing.assert_close(
            losses.binary_focal_loss(scores, target, reduction="none"), expected
        )


class TestDice:
    @pytest.mark.parametrize("squared", [False, True])
    @pytest.mark.parametrize("per_item", [False, True])
    def test_by_hand_and_gradient(self, squared: bool, per_item: bool) -> None:
        scores, target = draw(2, 3, 4, 5).requires_grad_(), classes(3, 2, 4, 5)
        target[0, 1] = -100
        expected = torch.zeros(2 if per_item else 1, 3, dtype=torch.float64)
        p = torch.softmax(scores.detach(), 1)
        for row, items in enumerate([[0], [1]] if per_item else [[0, 1]]):
            for k in range(3):
                overlap = extent = 0.0
                for i, r, c in itertools.product(items, range(4), range(5)):
                    if target[i, r, c] == -100:
                        continue
                    probability, truth = p[i, k, r, c].item(), float(target[i, r, c] == k)
                    overlap += probability * truth
                    extent += truth + (probability**2 if squared else probability)
                expected[row, k] = 1 - (2 * overlap + 0.7) / (extent + 0.7)
        options = {"squared": squared, "per_item": per_item, "smoothing": 0.7}
        ours = losses.dice_loss(scores, target, reduction="none", **options)  # type: ignore[arg-type]
        torch.testing.assert_close(ours, expected if per_item else expected[0])
        assert torch.autograd.gradcheck(
            lambda s: losses.dice_loss(s, target, **options),  # type: ignore[arg-type]
            (scores,),
        )

    def test_perfect_answer_has_no_loss(self) -> None:
        target = classes(3, 2, 4, 5)
        scores = 100 * F.one_hot(target, 4).movedim(-1, 1).double()
        assert losses.dice_loss(scores, target).item() < 1e-12


class TestBoxes:
    def boxes(self, seed: int) -> Tensor:
        corner, size = draw(17, 2, seed=seed), draw(17, 2, seed=seed + 1).abs() + 0.1
        return torch.cat((corner, corner + size), 1)

    def test_iou_of_boxes_on_a_grid_counts_cells(self) -> None:
        low = classes(5, 20, 2, seed=3)
        high = low + 1 + classes(4, 20, 2, seed=4)
        other_low = classes(5, 20, 2, seed=5)
        other_high = other_low + 1 + classes(4, 20, 2, seed=6)
        ours = losses.box_iou(
            torch.cat((low, high), 1).double(), torch.cat((other_low, other_high), 1).double()
        )
        met = 0
        for i in range(20):
            grids = np.zeros((2, 12, 12), bool)
            for grid, a, b in zip(grids, (low, other_low), (high, other_high), strict=True):
                grid[a[i, 0] : b[i, 0], a[i, 1] : b[i, 1]] = True
            both, either = (grids[0] & grids[1]).sum(), (grids[0] | grids[1]).sum()
            met += int(both > 0)
            assert math.isclose(ours[i].item(), both / either, rel_tol=1e-12)
        assert 0 < met < 20

    @pytest.mark.parametrize("name", ["iou_loss", "giou_loss"])
    def test_gradient_and_range(self, name: str) -> None:
        prediction, target = self.boxes(0).requires_grad_(), self.boxes(5)
        loss = getattr(losses, name)
        assert torch.autograd.gradcheck(lambda p: loss(p, target), (prediction,))
        assert loss(target, target).item() == pytest.approx(0, abs=1e-12)
        each = loss(prediction, target, reduction="none")
        assert ((each >= 0) & (each <= 2)).all()

    def test_only_giou_draws_distant_boxes_together(self) -> None:
        target = torch.tensor([[5.0, 0.0, 6.0, 1.0]])
        for loss, moves in ((losses.iou_loss, False), (losses.giou_loss, True)):
            box = torch.tensor([[0.0, 0.0, 1.0, 1.0]], requires_grad=True)
            loss(box, target).backward()
            assert box.grad is not None
            assert bool(box.grad.count_nonzero()) is moves

    def test_smooth_l1(self) -> None:
        prediction, target = draw(31) * 2, draw(31, seed=1)
        d = (prediction - target).abs()
        expected = torch.where(d < 0.8, d**2 / 1.6, d - 0.4).mean()
        torch.testing.assert_close(losses.smooth_l1_loss(prediction, target, beta=0.8), expected)


class TestSiamese:
    def test_contrastive_by_hand_and_gradient(self) -> None:
        a, b = draw(6, 3).requires_grad_(), draw(6, 3, seed=1).requires_grad_()
        same = torch.tensor([True, False, False, True, False, True])
        distance = ((a - b) ** 2).sum(1).sqrt()
        expected = torch.where(same, distance**2, (2.5 - distance).clamp(min=0) ** 2) / 2
        ours = losses.contrastive_loss(a, b, same, margin=2.5, reduction="none")
        torch.testing.assert_close(ours, expected)
        assert torch.autograd.gradcheck(
            lambda x, y: losses.contrastive_loss(x, y, same, margin=2.5), (a, b)
        )

    @pytest.mark.parametrize("squared", [False, True])
    def test_triplet(self, squared: bool) -> None:
        a, p, n = (draw(7, 4, seed=seed).requires_grad_() for seed in range(3))
        ours = losses.triplet_loss(a, p, n, squared=squared, margin=0.6)
        if squared:
            near, far = ((a - p) ** 2).sum(1), ((a - n) ** 2).sum(1)
            torch.testing.assert_close(ours, (near - far + 0.6).clamp(min=0).mean())
        else:
            theirs = F.triplet_margin_loss(a, p, n, margin=0.6, eps=0)
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
        assert torch.autograd.gradcheck(
            lambda *rows: losses.triplet_loss(*rows, squared=squared, margin=0.6), (a, p, n)
        )

    def test_equal_items_have_a_finite_gradient(self) -> None:
        a = draw(3, 4).requires_grad_()
        (
            losses.contrastive_loss(a, a.detach().clone(), torch.tensor([True, False, True]))
            + losses.triplet_loss(a, a.detach().clone(), draw(3, 4, seed=2), squared=False)
        ).backward()
        assert a.grad is not None
        assert torch.isfinite(a.grad).all()


class TestCtc:
    @staticmethod
    def collapse(path: tuple[int, ...], blank: int) -> tuple[int, ...]:
        return tuple(symbol for symbol, _ in itertools.groupby(path) if symbol != blank)

    @pytest.mark.parametrize("blank", [0, 2])
    def test_equals_the_sum_over_all_alignments(self, blank: int) -> None:
        scores = draw(3, 3, 6)
        symbols = [k for k in range(3) if k != blank]
        texts = [(symbols[0], symbols[1]), (symbols[1], symbols[1]), (symbols[0],)]
        steps = [6, 5, 3]
        target = torch.tensor([[*text, 0][:2] for text in texts])
        ours = losses.ctc_loss(
            scores,
            target,
            torch.tensor([2, 2, 1]),
            torch.tensor(steps),
            blank=blank,
            reduction="none",
        )
        for i, text in enumerate(texts):
            p = torch.softmax(scores[i], 0)
            likelihood = sum(
                math.prod(p[symbol, t].item() for t, symbol in enumerate(path))
                for path in itertools.product(range(3), repeat=steps[i])
                if self.collapse(path, blank) == text
            )
            assert math.isclose(ours[i].item(), -math.log(likelihood), rel_tol=1e-9)

    def test_gradient(self) -> None:
        scores = draw(2, 4, 5).requires_grad_()
        target, lengths = torch.tensor([[1, 1], [3, 2]]), torch.tensor([2, 1])
        assert torch.autograd.gradcheck(lambda s: losses.ctc_loss(s, target, lengths), (scores,))

    def test_text_too_long_for_its_steps(self) -> None:
        scores = draw(1, 3, 2).requires_grad_()
        target, lengths = torch.tensor([[1, 1]]), torch.tensor([2])
        loss = losses.ctc_loss(scores, target, lengths)
        loss.backward()
        assert loss.item() == 0
        assert scores.grad is not None
        assert scores.grad.count_nonzero() == 0
        strict = losses.ctc_loss(scores, target, lengths, zero_infinity=False)
        assert math.isinf(strict.item())


class TestAdversarial:
    def test_by_hand_and_gradient(self) -> None:
        real, fake = draw(5, 2).requires_grad_(), draw(5, 2, seed=1).requires_grad_()
        p, q = torch.sigmoid(real), torch.sigmoid(fake)
        pairs = [
            (losses.non_saturating_discriminator_loss(real, fake), -(p.log() + (1 - q).log())),
            (losses.non_saturating_generator_loss(fake), -q.log()),
            (losses.least_squares_discriminator_loss(real, fake), ((real - 1) ** 2 + fake**2) / 2),
            (losses.least_squares_generator_loss(fake), (fake - 1) ** 2 / 2),
        ]
        for ours, expected in pairs:
            torch.testing.assert_close(ours, expected.mean(), rtol=1e-10, atol=1e-12)
        assert torch.autograd.gradcheck(losses.non_saturating_discriminator_loss, (real, fake))
        assert torch.autograd.gradcheck(losses.least_squares_discriminator_loss, (real, fake))

    def test_generator_learns_where_the_discriminator_is_sure(self) -> None:
        fake = torch.tensor([-30.0], requires_grad=True)
        losses.non_saturating_generator_loss(fake).backward()
        assert fake.grad is not None
        assert fake.grad.item() == pytest.approx(-1)


class TestRestoration:
    @pytest.mark.parametrize("name", ["l1_loss", "l2_loss", "charbonnier_loss", "huber_loss"])
    def test_by_hand_and_gradient(self, name: str) -> None:
        image, target = draw(2, 3, 4).requires_grad_(), draw(2, 3, 4, seed=1)
        d = image - target
        expected = {
            "l1_loss": d.abs(),
            "l2_loss": d**2,
            "charbonnier_loss": (d**2 + 1e-6).sqrt(),
            "huber_loss": torch.where(d.abs() < 1, d**2 / 2, d.abs() - 0.5),
        }
        loss = getattr(losses, name)
        torch.testing.assert_close(loss(image, target, reduction="none"), expected[name])
        assert torch.autograd.gradcheck(lambda x: loss(x, target), (image,))
