"""Histograms count as numpy does, in the same bins at every moment."""

import numpy as np
import pytest
import torch

from striate.errors import ConfigError
from striate.seeing.histogram import common_edges, histogram


def test_counts_equal_those_of_numpy_and_bins_are_common() -> None:
    draw = torch.Generator().manual_seed(0)
    moments = [scale * torch.randn(7, 5, 3, generator=draw) for scale in (0.1, 1.0, 3.0)]
    edges = common_edges(moments, 12)
    everything = torch.cat([moment.flatten() for moment in moments]).double().numpy()
    np.testing.assert_allclose(edges.numpy(), np.histogram_bin_edges(everything, 12))
    for moment in moments:
        counts = histogram(moment, edges)
        expected, _ = np.histogram(moment.double().numpy(), edges.numpy())
        assert counts[1:-1].tolist() == expected.tolist()
        assert (int(counts[0]), int(counts[-1]), int(counts.sum())) == (0, 0, 105)


def test_what_lies_outside_is_counted_outside() -> None:
    numbers = torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0, 2.1, torch.inf, -torch.inf, torch.nan])
    counts = histogram(numbers, torch.tensor([0.0, 1.0, 2.0]))
    assert counts.tolist() == [2, 2, 2, 2]  # −1 and −∞ | 0, 0.5 | 1, 2 | 2.1 and ∞


def test_edges_of_one_number_and_of_none() -> None:
    assert common_edges([torch.full((3,), 2.0)], 2).tolist() == [1.5, 2.0, 2.5]
    assert common_edges([torch.tensor([torch.nan, 1.0, 3.0, torch.inf])], 1).tolist() == [1, 3]
    with pytest.raises(ConfigError, match="finite"):
        common_edges([torch.tensor([torch.nan])])
    with pytest.raises(ConfigError, match="1 or more"):
        common_edges([torch.zeros(1)], 0)
    with pytest.raises(ConfigError, match="rising"):
        histogram(torch.zeros(1), torch.tensor([1.0, 1.0]))
