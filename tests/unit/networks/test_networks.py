"""What single networks promise: shapes, whitening, tables, sizes."""

import math

import pytest
import torch
from torch import nn

from striate.errors import ConfigError, DataError, ShapeError
from striate.networks import (
    VGG,
    Airbench,
    AlexNet,
    DenseNet,
    LeNet5,
    Linear,
    Perceptron,
    ResNet,
    SegNet,
    UNet,
)
from striate.networks.lenet5 import _TABLE, Subsampling


def correlated_images(channels: int) -> torch.Tensor:
    """Smooth in space and alike between channels, as photographs are; mean 0, deviation 1."""
    generator = torch.Generator().manual_seed(2)
    noise = torch.randn(300, channels, 13, 15, generator=generator)
    smooth = nn.functional.avg_pool2d(noise, 3, stride=1) + noise[:, :1, 1:-1, 1:-1] / 5
    return (smooth - smooth.mean()) / smooth.std()


@pytest.mark.parametrize("channels", [1, 3])
def test_airbench_whitens_patches(channels: int) -> None:
    torch.manual_seed(0)
    network = Airbench(10, channels)
    images = correlated_images(channels)
    before = network.whiten(images)
    network.initialise_from(images)
    weight = network.whiten.conv.weight
    half = 4 * channels
    assert weight.shape == (2 * half, channels, 2, 2)
    assert torch.equal(weight[half:], -weight[:half])

    def covariance(maps: torch.Tensor) -> torch.Tensor:
        flat = maps[:, :half].transpose(0, 1).flatten(1).double()
        return flat @ flat.T / flat.shape[1]

    # λ/(λ + eps), eps = 5e-4 against eigenvalues above 0.05: within 1 % of the identity
    identity = torch.eye(half, dtype=torch.float64)
    torch.testing.assert_close(covariance(network.whiten(images)), identity, rtol=0, atol=0.02)
    assert (covariance(before) - identity).abs().max() > 0.2


def test_airbenchs_whitening_bears_degenerate_images() -> None:
    network = Airbench(10)
    grey = correlated_images(1).expand(-1, 3, -1, -1)
    for images in (grey, torch.zeros(4, 3, 9, 9)):
        network.initialise_from(images)
        assert network.whiten.conv.weight.isfinite().all()
        # 1/sqrt(5e-4) bounds every filter's norm
        assert network.whiten.conv.weight.flatten(1).norm(dim=1).max() < 45
    with pytest.raises(DataError, match="not finite"):
        network.initialise_from(torch.full((4, 3, 9, 9), math.nan))


def test_airbench_starts_as_a_partial_identity() -> None:
    network = Airbench(10, widths=(64,))
    x = torch.randn(2, 24, 7, 9)
    stage = network.stages[0]
    assert torch.equal(stage.conv0(x)[:, :24], x)
    assert not stage.norm0.weight.requires_grad
    assert stage.norm0.bias.requires_grad
    assert stage.norm0.momentum == 0.4


def test_airbench_may_sum_up_instead_of_finding() -> None:
    network = Airbench(3, 1, widths=(8, 8), pool="mean").eval()
    features: list[torch.Tensor] = []
    network.stages.register_forward_hook(lambda *call: features.append(call[2]))
    scores = network(torch.randn(2, 1, 20, 25))
    expected = features[0].mean(dim=(2, 3)) @ network.head.weight.T / 9
    torch.testing.assert_close(scores, expected)
    with pytest.raises(ConfigError, match=r"pool='sum' is unknown; accepted: 'max', 'mean'"):
        Airbench(3, pool="sum")


@pytest.mark.parametrize("length", [2, 3, 8, 9, 28, 32, 96, 224])
def test_airbench_takes_every_size(length: int) -> None:
    with torch.device("meta"):
        network = Airbench(5, 1, input_size=(length, length + 3))
        scores = network(torch.empty(2, 1, length, length + 3))
    assert scores.shape == (2, 5)


def test_airbench_says_which_size_would_work() -> None:
    with pytest.raises(ShapeError, match=r"9×9 or larger; what came is 8×30. Resize them to 9×30"):
        Airbench(10)(torch.randn(1, 3, 8, 30))
    with pytest.raises(ShapeError, match="2×2 or larger"):
        Airbench(10, input_size=(1, 5))
    with pytest.raises(ConfigError, match="one or more positive widths"):
        Airbench(10, widths=())


def test_airbench_in_three_dimensions() -> None:
    network = Airbench(4, 1, ndim=3, widths=(5, 6))
    volumes = torch.randn(3, 1, 6, 5, 7)
    network.initialise_from(volumes)
    assert network.whiten.conv.weight.shape == (16, 1, 2, 2, 2)
    assert network(volumes).shape == (3, 4)


def test_a_linear_classifiers_templates_score_by_inner_product() -> None:
    network = Linear(5, 2, input_size=(3, 4))
    x = torch.randn(2, 2, 3, 4)
    assert torch.equal(network(x), torch.zeros(2, 5))  # the first loss is log K
    nn.init.normal_(network.head.weight)
    expected = torch.einsum("bchw,kchw->bk", x, network.templates())
    torch.testing.assert_close(network(x), expected)


def test_lenets_table_is_the_papers() -> None:
    assert [len(maps) for maps in _TABLE] == [3] * 6 + [4] * 9 + [6]
    assert _TABLE[5] == (5, 0, 1)
    assert _TABLE[12] == (0, 1, 3, 4)
    # column sums of table I: each map of S2 is read by ten maps of C3
    assert [sum(i in maps for maps in _TABLE) for i in range(6)] == [10] * 6


@pytest.mark.parametrize(("length", "grid"), [(32, 5), (28, 5), (20, 3), (16, 2), (8, 2), (4, 1)])
def test_lenet_fits_its_input_size(length: int, grid: int) -> None:
    network = LeNet5(10, 1, input_size=(length, 32))
    maps = network.features[:6](torch.randn(2, 1, length, 32))
    assert maps.shape == (2, 16, grid, 5)
    assert network(torch.randn(2, 1, length, 32)).shape == (2, 10)


def test_lenet_refuses_what_leaves_nothing() -> None:
    with pytest.raises(ShapeError, match=r"4×4 or larger; what came is 3×8. Resize them to 4×8"):
        LeNet5(10, 1, input_size=(3, 8))


def test_subsampling_is_a_scaled_mean() -> None:
    layer = Subsampling(2, 2)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    x = torch.randn(3, 2, 4, 6)
    expected = x.unflatten(3, (3, 2)).unflatten(2, (2, 2)).mean((3, 5))
    torch.testing.assert_close(layer(x), expected * layer.weight + layer.bias)


def test_residual_shortcuts_carry_every_second_pixel() -> None:
    network = ResNet(10, depth=20).eval()
    block = network.stages[1][0]
    for parameter in (block.norm1.weight, block.norm1.bias):
        nn.init.zeros_(parameter)
    x = torch.rand(2, 16, 7, 10)
    y = block(x)
    assert y.shape == (2, 32, 4, 5)
    assert torch.equal(y[:, 8:24], x[:, :, ::2, ::2])
    assert not y[:, :8].any()
    assert not y[:, 24:].any()


def test_unknown_variants_are_named() -> None:
    with pytest.raises(ConfigError, match=r"depth=21 does not exist.*6n \+ 2"):
        ResNet(10, depth=21)
    with pytest.raises(ConfigError, match=r"depth=12 does not exist; accepted: 11, 13, 16, 19"):
        VGG(10, depth=12)
    with pytest.raises(ConfigError, match=r"depth=41 does not exist with bottleneck=True"):
        DenseNet(10, depth=41)
    with pytest.raises(ConfigError, match=r"compression=0.0 must be above 0"):
        DenseNet(10, compression=0.0)
    with pytest.raises(ConfigError, match=r"without a hidden layer the network is called linear"):
        Perceptron(10, input_size=(4, 4), hidden=())
    with pytest.raises(ConfigError, match=r"activation='relux' does not exist"):
        Perceptron(10, input_size=(4, 4), activation="relux")
    with pytest.raises(ShapeError, match=r"input_size=\(28,\) does not fit ndim=2"):
        LeNet5(10, input_size=(28,))
    with pytest.raises(ConfigError, match="one entry per stage"):
        SegNet(10, widths=(4, 5), counts=(1,))
    with pytest.raises(ConfigError, match="depth=0 must be 1 or more"):
        UNet(10, depth=0)
    with pytest.raises(ConfigError, match="stem=0 must be 1 or more"):
        UNet(10, stem=0)


def test_alexnets_towers_meet_in_the_third_convolution_only() -> None:
    network = AlexNet(10, hidden=16)
    groups = [network.get_submodule(f"conv{i}").groups for i in range(1, 6)]
    assert groups == [1, 2, 1, 2, 2]


@pytest.mark.parametrize(
    ("ndim", "size", "expected"),
    [(2, (572, 572), (388, 388)), (3, (132, 132, 116), (44, 44, 28))],
)
def test_unets_papers_sizes(ndim: int, size: tuple[int, ...], expected: tuple[int, ...]) -> None:
    with torch.device("meta"):
        network = UNet(2, 1, ndim=ndim, padded=False)
        assert network(torch.empty(1, 1, *size)).shape == (1, 2, *expected)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_unets_least_size_is_the_least(depth: int) -> None:
    network = UNet(2, 1, depth=depth, width=2, padded=False, batch_norm=False)
    least = network.smallest
    assert min(network(torch.randn(1, 1, least, least)).shape[2:]) >= 1
    with pytest.raises(ShapeError, match="or larger"):
        network(torch.randn(1, 1, least - 1, least))


def test_unets_stem_computes_at_a_part_of_the_resolution() -> None:
    network = UNet(3, 2, depth=1, width=8, stem=2)
    seen: list[torch.Size] = []
    for stage in network.encoder:
        stage.register_forward_hook(lambda _, __, output: seen.append(output.shape[2:]))
    x = torch.randn(1, 2, 31, 44)
    scores = network(x)
    assert scores.shape == (1, 3, 31, 44)
    assert seen == [(15, 22), (7, 11)]
    assert not scores[:, :, 30].any()  # the last row, which the stem drops of an odd height
    assert network(x[:, :, :30]).shape == (1, 3, 30, 44)
    with torch.device("meta"):
        unpadded = UNet(2, 1, stem=2, padded=False)
        assert unpadded(torch.empty(1, 1, 1144, 1144)).shape == (1, 2, 776, 776)


def test_segnet_unpools_with_the_encoders_indices() -> None:
    network = SegNet(3, 2, widths=(4, 5), counts=(1, 1)).eval()
    seen: list[torch.Tensor] = []
    network.unpool.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    network.pool.register_forward_hook(lambda _, __, output: seen.append(output[1]))
    assert network(torch.randn(2, 2, 9, 6)).shape == (2, 3, 9, 6)
    first, second, last_in, first_in = seen
    assert torch.equal(first, first_in)
    assert torch.equal(second, last_in)
