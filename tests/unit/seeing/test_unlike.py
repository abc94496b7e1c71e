"""p-values are uniform for images of the same source, and small for others."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from striate.errors import ConfigError
from striate.seeing.index import FeatureIndex
from striate.seeing.unlike import calibrated, p_values, unlikeness


def drawn(num: int, seed: int, *, shift: float = 0.0) -> Tensor:
    """Features of three classes, above zero as behind a rectifier."""
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(3, 16))
    centres[:, 0] += shift
    rows = centres[draw.integers(0, 3, num)] + 0.7 * draw.standard_t(4, size=(num, 16))
    return torch.from_numpy(rows.clip(0)).float()


def index_of(rows: Tensor) -> FeatureIndex:
    unit = torch.nn.functional.normalize(rows, dim=1)
    return FeatureIndex(unit.half(), ("",) * len(rows), ("",) * len(rows), "")


def test_p_values_are_ranks_among_held_out_images() -> None:
    train, held_out, others = drawn(120, 0), drawn(60, 1), drawn(30, 2, shift=1)
    neighbours = NearestNeighbors(n_neighbors=5, metric="cosine").fit(train.double().numpy())

    def score(rows: Tensor) -> np.ndarray:
        return neighbours.kneighbors(rows.double().numpy())[0].mean(1)

    index = calibrated(index_of(train), held_out)
    np.testing.assert_allclose(unlikeness(index, others), score(others), atol=3e-4)
    expected = [(1 + (score(held_out) >= s).sum()) / 61 for s in score(others)]
    np.testing.assert_allclose(p_values(index, others), expected, atol=1.01 / 61)
    assert np.mean(np.abs(p_values(index, others).numpy() - expected)) < 0.2 / 61


def test_ties_count_as_at_least_as_unlike() -> None:
    index = replace(index_of(torch.eye(4)), held_out=torch.tensor([0.25, 0.75, 0.75, 0.875]))
    one, opposite = torch.tensor([[2.0, 0, 0, 0]]), torch.tensor([[-1.0, 0, 0, 0]])
    assert unlikeness(index, one).tolist() == [0.75]
    assert p_values(index, one).tolist() == [4 / 5]
    assert p_values(index, opposite).tolist() == [1 / 5]


def test_one_image_and_its_held_out_images_give_each_p_value_equally_often() -> None:
    """19 held-out images, drawn anew each time, have 20 p-values, and 0.05 is the least."""
    index = index_of(drawn(50, 3))
    scores = unlikeness(index, drawn(2000 * 20, 4)).view(2000, 20)
    rank = torch.zeros(20)
    image = drawn(2000, 5)
    for row, one in zip(scores[:, :19].sort().values, image, strict=True):
        (p,) = p_values(replace(index, held_out=row), one[None])
        rank[round(20 * float(p)) - 1] += 1
    assert int(rank.sum()) == 2000
    assert stats.chisquare(rank.numpy()).pvalue > 0.01
    assert abs(int(rank[0]) - 100) < 4 * (2000 * 0.05 * 0.95) ** 0.5


@pytest.mark.parametrize("seed", range(5))
def test_p_values_of_held_out_images_are_uniform_and_of_others_small(seed: int) -> None:
    index = calibrated(index_of(drawn(400, 10 + seed)), drawn(2000, 20 + seed))
    same = p_values(index, drawn(400, 30 + seed)).numpy()
    assert stats.kstest(same, "uniform").pvalue > 0.01
    assert 0.02 <= (same < 0.05).mean() <= 0.085
    others = p_values(index, drawn(400, 40 + seed, shift=8)).numpy()
    assert (others < 0.05).mean() > 0.5
    assert others.min() == 1 / 2001


def test_the_p_value_of_an_image_is_the_same_among_any_others() -> None:
    index = calibrated(index_of(drawn(80, 6)), drawn(50, 7))
    rows = drawn(9, 8)
    alone = torch.cat([p_values(index, row[None]) for row in rows])
    assert torch.equal(alone, p_values(index, rows))


def test_an_index_that_is_not_calibrated_is_refused() -> None:
    index = index_of(torch.eye(3))
    with pytest.raises(ConfigError, match="not calibrated"):
        p_values(index, torch.zeros(1, 3))
    with pytest.raises(ConfigError, match="no held-out images"):
        calibrated(index, torch.zeros(0, 3))
    with pytest.raises(ConfigError, match="not finite"):
        calibrated(index, torch.full((1, 3), float("nan")))
