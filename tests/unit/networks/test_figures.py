"""Parameters and multiply-adds against published figures, exactly where they are exact."""

import pytest
import torch
from torch import nn

from striate.networks import NETWORKS
from striate.registry import Pick

IMAGENET = (3, 224, 224)
CIFAR = (3, 32, 32)


def build(pick: Pick, num_classes: int, in_channels: int = 3) -> nn.Module:
    with torch.device("meta"):
        network = NETWORKS.build(pick, num_classes=num_classes, in_channels=in_channels)
    return network.eval()


def num_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def multiply_adds(network: nn.Module, size: tuple[int, ...]) -> int:
    """Of convolutions and full layers, for one image, as torchvision counts them."""
    total = 0

    def count(module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.modules.conv._ConvTransposeNd):
            total += inputs[0].numel() * module.weight[0].numel()
        else:
            total += output.numel() * module.weight[0].numel()

    layers = [m for m in network.modules() if isinstance(m, nn.Linear | nn.modules.conv._ConvNd)]
    handles = [layer.register_forward_hook(count) for layer in layers]
    with torch.no_grad():
        network(torch.empty(1, *size, device="meta"))
    for handle in handles:
        handle.remove()
    return total


# torchvision's documentation: parameters exactly, GFLOPS (multiply-adds) to two decimals
TORCHVISION = [
    (Pick("alexnet_owt"), 61_100_840, 0.71),
    (Pick("googlenet", auxiliary=False), 6_624_904, 1.50),
    (Pick("squeezenet"), 1_248_424, 0.82),
    (Pick("vgg", depth=11, batch_norm=False), 132_863_336, 7.61),
    (Pick("vgg", depth=13, batch_norm=False), 133_047_848, 11.31),
    (Pick("vgg", depth=16, batch_norm=False), 138_357_544, 15.47),
    (Pick("vgg", depth=19, batch_norm=False), 143_667_240, 19.63),
    (Pick("vgg", depth=11), 132_868_840, 7.61),
    (Pick("vgg", depth=13), 133_053_736, 11.31),
    (Pick("vgg", depth=16), 138_365_992, 15.47),
    (Pick("vgg", depth=19), 143_678_248, 19.63),
    (Pick("resnet", depth=18), 11_689_512, 1.81),
    (Pick("resnet", depth=34), 21_797_672, 3.66),
    (Pick("resnet", depth=50), 25_557_032, 4.09),
    (Pick("resnet", depth=101), 44_549_160, 7.80),
    (Pick("resnet", depth=152), 60_192_808, 11.51),
    (Pick("densenet", depth=121), 7_978_856, 2.83),
    (Pick("densenet", depth=169), 14_149_480, 3.36),
    (Pick("densenet", depth=201), 20_013_928, 4.29),
]


def test_the_released_sizes_of_efficientnet_lite() -> None:
    """Millions of parameters, and millions of multiply-adds, as the release's page has them."""
    sizes = {(1.0, 1.0): (4.7, 407), (1.0, 1.1): (5.4, 631), (1.1, 1.2): (6.1, 899)}
    sizes |= {(1.2, 1.4): (8.2, 1464), (1.4, 1.8): (13.0, 2640)}
    sides = dict(zip(sizes, (224, 240, 260, 280, 300), strict=True))
    for (width, depth), (parameters, operations) in sizes.items():
        network = build(Pick("efficientnet", width=width, depth=depth), 1000)
        side = sides[width, depth]
        assert num_parameters(network) / 1e6 == pytest.approx(parameters, abs=0.06)
        # the release counts the normalisations, too
        assert multiply_adds(network, (3, side, side)) / 1e6 == pytest.approx(operations, rel=0.06)
    assert num_parameters(build(Pick("efficientnet"), 1000)) == 4_652_008


def test_a_unet_on_efficientnet_has_its_parameters_and_those_of_the_decoder() -> None:
    # without the last convolution with its normalisation, and without the head
    backbone = 4_652_008 - (320 * 1280 + 2 * 1280) - (1280 * 1000 + 1000)
    decoder, above = 0, 320
    for kept, here in ((112, 192), (40, 96), (24, 48), (16, 24)):
        decoder += 4 * above * here + here  # twice the resolution
        decoder += 9 * (here + kept) * here + 9 * here * here + 2 * 3 * here  # biases, normalised
        above = here
    decoder += 4 * above * 11 + 11
    assert num_parameters(build(Pick("efficientnet_unet"), 11)) == backbone + decoder


@pytest.mark.parametrize(("pick", "parameters", "giga"), TORCHVISION, ids=str)
def test_torchvisions_figures(pick: Pick, parameters: int, giga: float) -> None:
    network = build(pick, 1000)
    assert num_parameters(network) == parameters
    assert round(multiply_adds(network, IMAGENET) / 1e9, 2) == giga


# He et al. (2016), table 6, and the repository that publishes the weights
@pytest.mark.parametrize(
    ("depth", "parameters", "millions"),
    [
        (20, 269_722, 0.27),
        (32, 464_154, 0.46),
        (44, 658_586, 0.66),
        (56, 853_018, 0.85),
        (110, 1_727_962, 1.7),
    ],
)
def test_cifar_resnets(depth: int, parameters: int, millions: float) -> None:
    network = build(Pick("resnet", depth=depth), 10)
    assert num_parameters(network) == parameters
    decimals = len(str(millions).partition(".")[2])
    assert round(parameters / 1e6, decimals) == millions


@pytest.mark.parametrize(("depth", "giga"), [(50, 3.9), (101, 7.6), (152, 11.3)])
def test_resnets_with_the_papers_stride(depth: int, giga: float) -> None:
    # the paper's table 1 has 3.8, 7.6 and 11.3; 3.86 at depth 50 is cut off there, not rounded
    network = build(Pick("resnet", depth=depth, stride_in_1x1=True), 1000)
    assert round(multiply_adds(network, IMAGENET) / 1e9, 1) == giga


# Huang et al. (2017), table 2
@pytest.mark.parametrize(
    ("depth", "growth", "bottleneck", "millions"),
    [
        (40, 12, False, 1.0),
        (100, 12, False, 7.0),
        (100, 24, False, 27.2),
        (100, 12, True, 0.8),
        (250, 24, True, 15.3),
        (190, 40, True, 25.6),
    ],
)
def test_cifar_densenets(depth: int, growth: int, bottleneck: bool, millions: float) -> None:
    compression = 0.5 if bottleneck else 1.0
    pick = Pick(
        "densenet", depth=depth, growth=growth, bottleneck=bottleneck, compression=compression
    )
    assert round(num_parameters(build(pick, 10)) / 1e6, 1) == millions


def test_alexnets_layers() -> None:
    network = build(Pick("alexnet"), 1000)
    assert num_parameters(network) == 60_965_224
    assert multiply_adds(network, IMAGENET) == 724_406_816
    layers = {
        name: sum(parameter.numel() for parameter in module.parameters())
        for name, module in network.named_children()
    }
    assert [layers[f"conv{i}"] for i in range(1, 6)] == [34_944, 307_456, 885_120, 663_936, 442_624]
    assert [layers[name] for name in ("fc6", "fc7", "head")] == [37_752_832, 16_781_312, 4_097_000]


def test_lenets_layers() -> None:
    """LeCun et al. (1998), section II.B: trained parameters and connections of each layer."""
    network = build(Pick("lenet5", original=True), 10, 1)
    counted: dict[str, tuple[int, int]] = {}

    def count(name: str):  # type: ignore[no-untyped-def]
        def hook(module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
            parameters = sum(parameter.numel() for parameter in module.parameters())
            per_map = output[0, 0].numel()
            if name in ("s2", "s4"):  # each unit: four inputs and a bias
                connections = output.numel() * 5
            elif name in ("c5", "f6"):
                connections = parameters
            else:
                connections = parameters * per_map
            counted[name] = (parameters, connections)

        return hook

    for name, module in network.features.named_children():  # type: ignore[operator, union-attr]
        module.register_forward_hook(count(name))
    network(torch.empty(1, 1, 32, 32, device="meta"))
    published = {
        "c1": (156, 122_304),
        "s2": (12, 5_880),
        "c3": (1_516, 151_600),
        "s4": (32, 2_000),
        "c5": (48_120, 48_120),
        "f6": (10_164, 10_164),
    }
    assert {name: counted[name] for name in published} == published
    assert num_parameters(network) == 60_000
    # the paper's total of connections is 340,908: two digits exchanged
    assert sum(connections for _, connections in published.values()) == 340_068
    assert num_parameters(build(Pick("lenet5"), 10, 1)) == 61_706


@pytest.mark.parametrize(
    ("hidden", "parameters"),
    [((300,), 238_510), ((1000,), 795_010), ((300, 100), 266_610), ((500, 150), 469_160)],
)
def test_perceptrons(hidden: tuple[int, ...], parameters: int) -> None:
    pick = Pick("mlp", hidden=hidden, input_size=(28, 28))
    assert num_parameters(build(pick, 10, 1)) == parameters


def test_linear_and_simplenet() -> None:
    assert num_parameters(build(Pick("linear", input_size=(32, 32)), 10)) == 30_730
    simplenet = build(Pick("simplenet"), 15, 1)
    assert num_parameters(simplenet) == 10_435
    assert multiply_adds(simplenet, (1, 64, 64)) == 2_549_760


def test_airbench() -> None:
    network = build(Pick("airbench"), 10)
    assert num_parameters(network) == 1_972_792  # the paper: 1.97 M
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    assert trained == 1_971_352
    assert multiply_adds(network, CIFAR) == 118_147_360


def test_googlenet_of_the_paper() -> None:
    network = build(Pick("googlenet", batch_norm=False, auxiliary=False), 1000)
    assert num_parameters(network) == 6_998_552
    weights = {name: p for name, p in network.named_parameters() if name.endswith("weight")}
    assert round(sum(p.numel() for p in weights.values()) / 1024) == 6_826

    def kilo(prefix: str) -> int:  # table 1 counts weights in units of 1024
        return sum(p.numel() for name, p in weights.items() if name.startswith(prefix)) // 1024

    assert kilo("conv2") + kilo("conv3") == 112
    assert kilo("inception3a") == 159
    assert kilo("head") == 1000


def test_segmentation_networks() -> None:
    segnet = build(Pick("segnet"), 11)
    assert num_parameters(segnet) == 29_449_355  # the paper: 29.45 M
    unet = build(Pick("unet", ndim=3, padded=False), 3)
    norms = [m for m in unet.modules() if isinstance(m, nn.BatchNorm3d)]
    ups = [m for m in unet.modules() if isinstance(m, nn.ConvTranspose3d)]
    left_out = sum(p.numel() for m in norms for p in m.parameters())
    left_out += sum(m.bias.numel() for m in ups if m.bias is not None)
    assert num_parameters(unet) - left_out == 19_069_955  # Çiçek et al. (2016), section 2.1
    flat = build(Pick("unet", batch_norm=False, padded=False), 2, 1)
    layers = [m for m in flat.modules() if isinstance(m, nn.modules.conv._ConvNd)]
    assert len(layers) == 23  # Ronneberger et al. (2015), section 2
