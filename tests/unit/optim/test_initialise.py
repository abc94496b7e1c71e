import math

import pytest
import torch
from torch import nn

from striate.errors import ConfigError
from striate.optim import INITIALISATIONS
from striate.optim.initialise import fans, glorot, kaiming, lsuv, orthogonal, whiten
from striate.registry import Pick


def network():
    return nn.Sequential(
        nn.Conv2d(3, 24, 3),
        nn.BatchNorm2d(24),
        nn.ReLU(),
        nn.ConvTranspose2d(24, 10, (2, 4), groups=2),
        nn.Flatten(),
        nn.Linear(10 * 7 * 8, 60),
    )


def images():
    chance = torch.Generator().manual_seed(1)
    noise = torch.randn(40, 3, 8, 7, generator=chance)
    return noise + 2 * noise.roll(1, dims=2) + torch.randn(40, 3, 1, 1, generator=chance)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Conv1d(6, 9, 5), (30, 45)),
        (nn.Conv3d(4, 8, (2, 3, 1), groups=4), (6, 12)),
        (nn.ConvTranspose2d(6, 4, 3, groups=2), (27, 18)),
        (nn.Linear(5, 11), (5, 11)),
    ],
)
def test_fans(layer, expected):
    assert fans(layer) == expected


def test_glorot_is_even_between_its_bounds():
    built = network()
    glorot(built)
    for layer in (built[0], built[3], built[5]):
        bound = math.sqrt(6 / sum(fans(layer)))
        assert layer.weight.abs().max() <= bound
        # 600 numbers and more: the deviation of U(±b) is b/√3, within 4 standard errors.
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.06)
        assert torch.equal(layer.bias, torch.zeros_like(layer.bias))


def test_kaiming_deviation_follows_fan_in_and_slope():
    built = network()
    kaiming(built, slope=0.5)
    for layer in (built[0], built[3], built[5]):
        expected = math.sqrt(2 / (1.25 * fans(layer)[0]))
        # n ≥ 648: the deviation's own standard error is 1/√(2n) = 2.8 %, four of them.
        assert layer.weight.std().item() == pytest.approx(expected, rel=0.11)


def test_orthogonal_rows_are_at_right_angles():
    built = network()
    orthogonal(built, gain=1.5)
    rows = built[5].weight
    torch.testing.assert_close(rows @ rows.T, 2.25 * torch.eye(60), atol=1e-4, rtol=1e-4)


def test_lsuv_brings_every_layer_to_variance_one_and_leaves_the_rest():
    built = network().eval()
    before = {name: b.clone() for name, b in built.named_buffers()}
    lsuv(built, images())
    assert not built.training
    for name, buffer in built.named_buffers():
        assert torch.equal(buffer, before[name])
    variances = []
    handles = [
        layer.register_forward_hook(lambda _, __, out: variances.append(out.var().item()))
        for layer in (built[0], built[3], built[5])
    ]
    built.train()(images())
    for handle in handles:
        handle.remove()
    assert variances == pytest.approx([1, 1, 1], abs=0.011)


def test_whitening_makes_first_outputs_uncorrelated_of_variance_one():
    built = nn.Sequential(nn.Conv2d(3, 60, 3, bias=False), nn.ReLU(), nn.Flatten())
    whiten(built, images(), epsilon=0.0)
    outputs = built[0](images()).transpose(0, 1).flatten(1)
    torch.testing.assert_close(outputs[:27].cov(), torch.eye(27), atol=2e-3, rtol=0)
    # After the 27 directions their negatives; six filters are left as Kaiming drew them.
    torch.testing.assert_close(built[0].weight[27:54], -built[0].weight[:27])
    plain = nn.Sequential(nn.Conv2d(3, 60, 3, bias=False), nn.ReLU(), nn.Flatten())
    kaiming(plain)
    assert torch.equal(built[0].weight[54:], plain[0].weight[54:])


def test_whitening_of_vectors():
    built = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    vectors = torch.randn(300, 4, generator=torch.Generator().manual_seed(0)) @ torch.rand(
        4, 4, generator=torch.Generator().manual_seed(1)
    )
    whiten(built, vectors, epsilon=0.0)
    torch.testing.assert_close(built[0](vectors).T.cov(), torch.eye(4), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    "first", [nn.Conv2d(3, 6, 3, groups=3), nn.ConvTranspose2d(3, 6, 3), nn.Flatten()], ids=str
)
def test_whitening_says_what_it_needs(first):
    with pytest.raises(ConfigError, match="Whitening needs a first layer"):
        whiten(nn.Sequential(first), images())


@pytest.mark.parametrize("name", INITIALISATIONS)
def test_follows_from_the_seed_alone(name):
    def weights(seed):
        built = network()
        INITIALISATIONS.build(Pick(name, seed=seed), built, batch=images())
        return torch.cat([p.flatten() for p in built.parameters()])

    torch.manual_seed(1)
    first = weights(5)
    torch.manual_seed(2)
    assert torch.equal(weights(5), first)
    assert not torch.equal(weights(6), first)
