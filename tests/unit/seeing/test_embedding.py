"""Embeddings agree with scikit-learn, can be repeated, and say how they came about."""

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_info, threadpool_limits
from torch import Tensor

from striate.errors import ConfigError
from striate.seeing.embedding import embedding


def groups(of_each: int = 8, num_features: int = 40) -> tuple[Tensor, Tensor]:
    """Three groups far from each other."""
    draw = torch.Generator().manual_seed(1)
    labels = torch.arange(3).repeat(of_each)
    centres = 10 * torch.randn(3, num_features, generator=draw)
    return centres[labels] + torch.randn(len(labels), num_features, generator=draw), labels


@pytest.mark.parametrize("shape", [(24, 40), (40, 7), (3, 2), (2, 9)])
def test_principal_components_are_those_of_scikit_learn(shape: tuple[int, int]) -> None:
    rows = torch.randn(shape, generator=torch.Generator().manual_seed(4)) * 3 + 100
    model = PCA(2, svd_solver="full").fit(rows.double().numpy())
    signs = [np.sign(weights[np.abs(weights).argmax()]) for weights in model.components_]
    expected = model.transform(rows.double().numpy()) * signs
    found = embedding(rows)
    np.testing.assert_allclose(found.coordinates.numpy(), expected, atol=1e-4)
    first, second = (f"{100 * share:.0f}%" for share in model.explained_variance_ratio_)
    assert f"have {first} and {second} of the variance" in found.caption


def test_the_sign_of_a_component_does_not_hang_on_the_order_of_images() -> None:
    rows, _ = groups()
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(2))
    expected = embedding(rows).coordinates[order]
    torch.testing.assert_close(embedding(rows[order]).coordinates, expected, atol=1e-4, rtol=0)


def test_what_has_no_second_direction_or_none_at_all_lies_on_a_line_or_a_point() -> None:
    assert embedding(torch.tensor([[1.0], [3.0]])).coordinates.tolist() == [[-1, 0], [1, 0]]
    for num in (1, 6):
        found = embedding(torch.full((num, 3), 7.0))
        assert found.coordinates.tolist() == [[0, 0]] * num
        assert "0% and 0%" in found.caption


def test_tsne_keeps_the_neighbours_of_each_image() -> None:
    rows, labels = groups()
    found = embedding(rows, "tsne").coordinates
    distances = torch.cdist(found, found).fill_diagonal_(float("inf"))
    assert bool((labels[distances.argmin(1)] == labels).all())
    between = torch.cdist(rows, rows).fill_diagonal_(float("inf"))
    share = (
        (
            distances.topk(7, largest=False).indices.sort().values
            == between.topk(7, largest=False).indices.sort().values
        )
        .float()
        .mean()
    )
    assert share > 0.9


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_coordinates_are_the_same_with_any_number_of_threads(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, _ = groups(of_each=40)
    inside = set()
    plain = np.linalg.qr

    def watched(*arguments: Any, **settings: Any) -> Any:
        inside.update(pool["num_threads"] for pool in threadpool_info())
        return plain(*arguments, **settings)

    monkeypatch.setattr(np.linalg, "qr", watched)
    results = []
    for num_threads in (1, 2):
        with threadpool_limits(limits=num_threads):
            before = [(p["filepath"], p["num_threads"]) for p in threadpool_info()]
            results.append(embedding(rows, method).coordinates)
            assert [(p["filepath"], p["num_threads"]) for p in threadpool_info()] == before
    assert torch.equal(*results)
    assert inside == {1}


@pytest.mark.parametrize("num", [4, 5, 9])
def test_few_or_equal_images_have_finite_coordinates(num: int) -> None:
    rows = torch.randn(num, 3, generator=torch.Generator().manual_seed(num))
    found = embedding(rows, "tsne")
    assert found.coordinates.shape == (num, 2)
    assert f"perplexity {(num - 1) / 3:.3g}" in found.caption
    assert bool(torch.isfinite(found.coordinates).all())
    assert bool(torch.isfinite(embedding(torch.ones(num, 3), "tsne").coordinates).all())


def test_umap_is_asked_for_one_thread_and_its_caption_promises_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: dict[str, Any] = {}

    class Fake:
        min_dist = 0.1

        def __init__(self, **settings: Any) -> None:
            asked.update(settings)

        def fit_transform(self, rows: np.ndarray) -> np.ndarray:
            return rows[:, :2]

    package = ModuleType("umap")
    package.UMAP = Fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "umap", package)
    rows, _ = groups(of_each=3)
    found = embedding(rows, "umap", seed=5)
    assert asked == {"n_components": 2, "n_neighbors": 8, "random_state": 5, "n_jobs": 1}
    torch.testing.assert_close(found.coordinates, rows[:, :2])
    assert "may differ with another number of threads" in found.caption
    assert "are the same" not in found.caption


def test_umap_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ConfigError, match="pip install umap-learn"):
        embedding(torch.randn(5, 3), "umap")


@pytest.mark.parametrize(
    ("rows", "method", "message"),
    [
        (torch.zeros(5, 3), "isomap", "no embedding 'isomap'.*pca, tsne, umap"),
        (torch.zeros(3, 3), "tsne", "4 images at least, and 3 came"),
        (torch.zeros(0, 3), "pca", "cannot be embedded"),
        (torch.tensor([[1.0, float("nan")]]), "pca", "finite"),
    ],
)
def test_what_cannot_be_embedded_is_said(rows: Tensor, method: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        embedding(rows, method)
