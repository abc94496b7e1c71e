"""The last layer that is solved is the optimum that scikit-learn and closed forms find."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from striate.config import ExecutionConfig, PredictionConfig
from striate.data import ImageSet
from striate.data.field import Category, Labels, Value
from striate.data.loader import Normalisation
from striate.execution import Execution
from striate.networks import NETWORKS
from striate.randomness import some_of
from striate.registry import Pick
from striate.tasks import TASKS, DataShape, Task
from striate.training import probe
from striate.training.features import Features, features_of
from striate.training.inference import Model

BOTH = PredictionConfig(mirrored=True)
CLASSES = ("a", "b", "c")


def task_of(name: str, loss: Pick) -> Task:
    return TASKS.build(Pick(name), loss=loss)


def features(num_items: int, num_views: int, fields: dict[str, Any], columns: dict[str, Any]):
    rows = torch.randn(num_items, num_views, 6, generator=torch.Generator().manual_seed(0))
    split = ImageSet(
        np.zeros((num_items, 1, 1, 3), dtype=np.uint8),
        columns,
        fields,
        tuple(map(str, range(num_items))),
        tuple(map(str, range(num_items))),
    )
    return Features(3 * rows + 1, split)


def scaled(rows: Tensor) -> np.ndarray:
    flat = rows.flatten(0, 1).double().numpy()
    centred = flat - flat.mean(0)
    return centred / np.sqrt((centred**2).mean())


def test_a_layer_for_classes_is_that_of_logistic_regression() -> None:
    labels = np.random.default_rng(1).integers(0, 3, 90)
    data = features(90, 2, {"category": Category(CLASSES)}, {"category": labels})
    data.rows[..., 0] += torch.from_numpy(labels)[:, None]
    task = task_of("classification", Pick("softmax_cross_entropy"))
    solved = probe.solve(task, data, 3, penalty=0.02)
    x = scaled(data.rows)
    reference = LogisticRegression(C=1 / (0.02 * len(x)), tol=1e-8, max_iter=1_000)
    expected = reference.fit(x, np.repeat(labels, 2)).predict_proba(x)
    scores = data.rows.flatten(0, 1) @ solved.weight.T + solved.bias
    np.testing.assert_allclose(scores.softmax(-1).numpy(), expected, atol=5e-5)


def test_a_layer_for_numbers_is_that_of_ridge_regression() -> None:
    rng = np.random.default_rng(2)
    targets = rng.normal(5.0, 3.0, (80, 1))
    data = features(80, 1, {"value": Value(("age",))}, {"value": targets})
    data.rows[:, 0, 1] += torch.from_numpy(targets[:, 0]).float()
    task = task_of("regression", Pick("l2"))
    task.use(task.prepare(data.split))
    solved = probe.solve(task, data, 1, penalty=0.1)
    x, y = scaled(data.rows), (targets - targets.mean()) / targets.std()
    # of the mean of (x w - y)² and 0.1 / 2 ‖w‖²
    weight = np.linalg.solve(x.T @ x / 80 + 0.05 * np.eye(6), x.T @ y / 80)
    found = data.rows[:, 0] @ solved.weight.T + solved.bias
    np.testing.assert_allclose(found.numpy(), x @ weight, atol=1e-4)


def test_labels_that_are_not_known_do_not_count() -> None:
    table = np.random.default_rng(3).integers(-1, 2, (120, 2)).astype(np.int8)
    data = features(120, 1, {"labels": Labels(("x", "y"))}, {"labels": table})
    task = task_of("labels", Pick("binary_cross_entropy"))
    solved = probe.solve(task, data, 2, penalty=0.05)
    x = scaled(data.rows)
    known = table >= 0
    scores = (data.rows[:, 0] @ solved.weight.T + solved.bias).numpy()
    gradient = np.where(known, 1 / (1 + np.exp(-scores)) - table, 0.0) / known.sum()
    spread = np.sqrt(((data.rows - data.rows.mean(0)) ** 2).mean().item())
    # of W, in units of scaled features: the loss's gradient and the penalty's cancel
    np.testing.assert_allclose(gradient.T @ x, -0.05 * solved.weight.numpy() * spread, atol=1e-5)
    np.testing.assert_allclose(gradient.sum(0), 0.0, atol=1e-5)


@pytest.mark.parametrize(("signal", "expected"), [(3.0, 0), (0.0, 1)])
def test_the_penalty_follows_from_items_held_out(signal: float, expected: int) -> None:
    """Features that say all ask for a small penalty, features of noise for the largest."""
    labels = np.random.default_rng(4).integers(0, 3, 150)
    data = features(150, 1, {"category": Category(CLASSES)}, {"category": labels})
    onehot = torch.eye(3)[torch.from_numpy(labels)]
    data.rows[:, 0, :3] += 3 * signal * onehot
    solved = probe.solve(task_of("classification", Pick("softmax_cross_entropy")), data, 3)
    assert np.argmin(solved.losses) == (0 if expected else len(solved.losses) - 2)
    assert len(solved.losses) == (2 if expected else len(probe.PENALTIES))


@pytest.mark.parametrize("num_items", [1, 3, 4, 7])
def test_few_items_are_enough(num_items: int) -> None:
    labels = np.arange(num_items) % 3
    data = features(num_items, 1, {"category": Category(CLASSES)}, {"category": labels})
    solved = probe.solve(task_of("classification", Pick("softmax_cross_entropy")), data, 3)
    assert len(solved.losses) == 0 if num_items < 4 else np.isfinite(solved.losses).all()
    scores = data.rows[:, 0] @ solved.weight.T + solved.bias
    assert scores.isfinite().all()


def network_of(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return NETWORKS.build(Pick("resnet", depth=8, width=4), num_classes=3)


def test_features_are_what_the_last_layer_sees() -> None:
    network = network_of(5)
    pixels = np.random.default_rng(6).integers(0, 256, (70, 12, 10, 3), dtype=np.uint8)
    split = ImageSet(pixels, {}, {}, ("x",) * 70, ("x",) * 70)
    normalise = Normalisation((0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
    execution = Execution.of(ExecutionConfig(threads=1))
    task = task_of("classification", Pick("softmax_cross_entropy"))
    model = Model(nn.ModuleDict({"network": network}), task, normalise, execution)
    done: list[tuple[str, int, int]] = []
    found = features_of(model, split, BOTH, progress=lambda *args: done.append(args))
    x = normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255)
    head = network.get_submodule("head")
    with torch.inference_mode():
        network.eval()
        for view, images in enumerate((x, x.flip(3))):
            expected = network(images)
            torch.testing.assert_close(head(found.rows[:, view]), expected, rtol=1e-4, atol=1e-5)
    assert done == [("computing features", 64, 70), ("computing features", 70, 70)]
    assert not network.get_submodule("head")._forward_pre_hooks


class MapsFirst(nn.Module):
    """Scores of each position, averaged, as SqueezeNet has them."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 5, 3, stride=2)
        self.head = nn.Conv2d(5, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.body(x).relu()).mean((2, 3))
        return scores


def test_maps_before_a_convolution_are_averaged() -> None:
    torch.manual_seed(8)
    network = MapsFirst()
    pixels = np.random.default_rng(9).integers(0, 256, (6, 11, 9, 3), dtype=np.uint8)
    split = ImageSet(pixels, {}, {}, ("x",) * 6, ("x",) * 6)
    normalise = Normalisation((0.5,) * 3, (0.25,) * 3)
    task = task_of("classification", Pick("softmax_cross_entropy"))
    execution = Execution.of(ExecutionConfig(threads=1))
    model = Model(nn.ModuleDict({"network": network}), task, normalise, execution)
    rows = features_of(model, split).rows[:, 0]
    with torch.inference_mode():
        expected = network(normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255))
        scores = network.head(rows[:, :, None, None]).flatten(1)
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-5)


def test_more_items_than_the_penalty_is_chosen_on_weigh_more_against_it() -> None:
    labels = np.random.default_rng(10).integers(0, 3, 1_500)
    data = features(1_500, 1, {"category": Category(CLASSES)}, {"category": labels})
    solved = probe.solve(task_of("classification", Pick("softmax_cross_entropy")), data, 3)
    best = probe.PENALTIES[int(np.argmin(solved.losses))]
    assert solved.penalty == pytest.approx(best * 1_000 / 1_500)


@pytest.mark.parametrize("penalty", [0.1, None])
def test_held_out_scores_are_those_of_layers_that_have_not_seen_the_item(
    penalty: float | None,
) -> None:
    """Labels that are drawn by chance, with more features than items: learned by heart, useless."""
    labels = np.random.default_rng(11).integers(0, 3, 150)
    data = features(150, 1, {"category": Category(CLASSES)}, {"category": labels})
    wide = Features(
        torch.randn(150, 2, 400, generator=torch.Generator().manual_seed(1)), data.split
    )
    task = task_of("classification", Pick("softmax_cross_entropy"))
    shape = DataShape({"category": Category(CLASSES)}, 3, (1, 1))
    solved = probe.solve(task, wide, 3, penalty=0.001)
    seen = wide.rows[:, 0] @ solved.weight.T + solved.bias
    assert (seen.argmax(1).numpy() == labels).all()
    scores = probe.held_out_scores(task, wide, shape, 3, penalty)
    assert scores is not None
    assert len(scores.rows) == 150
    assert scores.headline > 0.5


def test_held_out_predictions_are_those_of_scikit_learn_on_the_same_folds() -> None:
    """Views count by their weights, and the rows have the order of the items."""
    labels = np.random.default_rng(14).integers(0, 3, 80)
    data = features(80, 2, {"category": Category(CLASSES)}, {"category": labels})
    data.rows[..., :3] += 2 * torch.eye(3)[torch.from_numpy(labels)][:, None]
    data = replace(data, weights=(0.25, 0.75))
    task = task_of("classification", Pick("softmax_cross_entropy"))
    shape = DataShape({"category": Category(CLASSES)}, 3, (1, 1))
    found = probe.held_out_scores(task, data, shape, 3, 0.05)
    assert found is not None
    expected = np.zeros((80, 3))
    folds = probe._folds(data.split)
    assert sorted(np.concatenate([held for _, held in folds]).tolist()) == list(range(80))
    for kept, held in folds:
        assert not set(kept) & set(held)
        assert np.bincount(labels[held], minlength=3).min() >= 3  # classes are spread
        x = data.rows[kept].double().transpose(0, 1).flatten(0, 1).numpy()
        mean, scale = x.mean(0), 1 / np.sqrt(((x - x.mean(0)) ** 2).mean())
        inner = 0.05 * 80 / len(kept)
        reference = LogisticRegression(C=1 / (inner * len(x)), tol=1e-8, max_iter=1_000)
        reference.fit((x - mean) * scale, np.tile(labels[kept], 2))
        for view, weight in enumerate(data.weights):
            x = (data.rows[held, view].double().numpy() - mean) * scale
            expected[held] += weight * reference.decision_function(x)
    expected = torch.from_numpy(expected).softmax(1).numpy()
    np.testing.assert_allclose(found.rows["probabilities"], expected, atol=2e-4)
    np.testing.assert_array_equal(found.rows["labels"], labels)


def test_items_of_a_group_are_held_out_together() -> None:
    """Each group has a class of its own chance, and features that say which group it is."""
    group = np.arange(120) % 12
    labels = np.random.default_rng(12).integers(0, 3, 12)[group]
    data = features(120, 1, {"category": Category(CLASSES)}, {"category": labels})
    rows = torch.eye(12)[torch.from_numpy(group)][:, None] + 0.01 * torch.randn(120, 1, 12)
    task = task_of("classification", Pick("softmax_cross_entropy"))
    shape = DataShape({"category": Category(CLASSES)}, 3, (1, 1))
    alone = probe.held_out_scores(task, Features(rows, data.split), shape, 3, 0.01)
    together = replace(data.split, groups=tuple(map(str, group.tolist())))
    apart = probe.held_out_scores(task, Features(rows, together), shape, 3, 0.01)
    assert alone is not None
    assert apart is not None
    assert alone.headline == 0
    assert apart.headline > 0.3


def test_some_images_that_take_turns_in_their_classes_are_of_all_classes() -> None:
    labels = np.arange(4_000) % 4
    assert np.bincount(labels[some_of(4_000, 1_000, "penalty")]).min() > 200
    assert some_of(3, 5, "x").tolist() == [0, 1, 2]


def test_turned_features_give_the_same_losses_and_scores() -> None:
    labels = np.random.default_rng(13).integers(0, 3, 60)
    data = features(60, 2, {"category": Category(CLASSES)}, {"category": labels})
    draw = torch.Generator().manual_seed(2)
    wide = Features(torch.randn(60, 2, 500, generator=draw) + 1, data.split)
    wide.rows[..., :3] += 2 * torch.eye(3)[torch.from_numpy(labels)][:, None]
    task = task_of("classification", Pick("softmax_cross_entropy"))
    turned = wide.turned()
    assert turned.rows.shape == (60, 2, 120)
    assert turned.turned() is turned or turned.turned().rows.shape == (60, 2, 120)
    losses = [probe._held_out_losses(task, each, 3) for each in (wide, turned)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
