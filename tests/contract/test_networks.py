"""What every registered network must do; registering one enrols it here."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from striate.errors import ConfigError, ShapeError
from striate.networks import NETWORKS
from striate.registry import Pick

Case = tuple[Pick, tuple[int, int]]

# small variants and the image size that they are tried at, odd and unequal where that is allowed
SMALL: dict[str, list[Case]] = {
    "linear": [(Pick("linear"), (6, 5))],
    "mlp": [
        (Pick("mlp", hidden=(13,)), (6, 5)),
        (Pick("mlp", hidden=(11, 7), activation="tanh"), (6, 5)),
    ],
    "simplenet": [(Pick("simplenet"), (19, 33))],
    "lenet5": [(Pick("lenet5"), (13, 8)), (Pick("lenet5", original=True), (17, 9))],
    "alexnet": [(Pick("alexnet", hidden=24, dropout=0.0), (67, 63))],
    "alexnet_owt": [(Pick("alexnet_owt", hidden=24, dropout=0.0), (67, 63))],
    "googlenet": [
        (Pick("googlenet"), (35, 33)),
        (Pick("googlenet", batch_norm=False, auxiliary=False), (35, 33)),
    ],
    "vgg": [
        (Pick("vgg", depth=11, hidden=24, dropout=0.0), (32, 35)),
        (Pick("vgg", depth=11, batch_norm=False, hidden=24, dropout=0.0), (32, 35)),
    ],
    "resnet": [
        (Pick("resnet", depth=8, width=6), (11, 14)),
        (Pick("resnet", depth=18, width=6), (35, 40)),
        (Pick("resnet", depth=50, width=3, stride_in_1x1=True), (35, 40)),
    ],
    "densenet": [
        (Pick("densenet", depth=16, growth=5), (11, 14)),
        (Pick("densenet", depth=10, growth=5, bottleneck=False, compression=1.0), (11, 14)),
        (Pick("densenet", depth=121, growth=2), (35, 40)),
    ],
    "squeezenet": [(Pick("squeezenet", dropout=0.0), (39, 35))],
    "efficientnet": [(Pick("efficientnet", width=0.25, depth=0.5, dropout=0.0), (35, 40))],
    "airbench": [
        (Pick("airbench", widths=(6, 9)), (11, 14)),
        (Pick("airbench", widths=(6, 9, 12)), (8, 13)),
    ],
    "segnet": [(Pick("segnet", widths=(6, 9), counts=(2, 1)), (9, 14))],
    "unet": [
        (Pick("unet", depth=2, width=6), (9, 14)),
        (Pick("unet", depth=1, width=6, batch_norm=False, padded=False), (20, 22)),
    ],
    "efficientnet_unet": [
        (Pick("efficientnet_unet", width=4, backbone_width=0.25, backbone_depth=0.5), (35, 40))
    ],
}
# networks whose depth or full layers do not bear Adam's 1e-2, and airbench's scores over nine
LEARNING_RATE = {
    "alexnet": 1e-3,
    "alexnet_owt": 1e-3,
    "vgg": 1e-3,
    "googlenet": 3e-4,
    "squeezenet": 3e-4,
    "airbench": 3e-2,
}
NUM_CLASSES = 4
IN_CHANNELS = 3
CASES = [
    pytest.param(pick, size, id=f"{pick}")
    for name in NETWORKS
    for pick, size in SMALL.get(name, [(Pick(name), (35, 40))])
]
# without normalisation the deep ones take many steps to begin
LONG = ("batch_norm=False, hidden", "vgg(depth=11, hidden=24, dropout=0.0)", "auxiliary=False")
LEARNED = [
    pytest.param(
        *case.values,
        id=case.id,
        marks=[pytest.mark.slow] if any(word in str(case.id) for word in LONG) else [],
    )
    for case in CASES
]
FIRST = [pytest.param(*SMALL.get(name, [(Pick(name), (35, 40))])[0], id=name) for name in NETWORKS]


def build(pick: Pick, size: tuple[int, ...], channels: int = IN_CHANNELS, **own: Any) -> nn.Module:
    torch.manual_seed(7)
    return NETWORKS.build(
        pick.replace(**own), num_classes=NUM_CLASSES, in_channels=channels, input_size=size
    )


def images(size: tuple[int, ...], count: int = 3, channels: int = IN_CHANNELS) -> Tensor:
    generator = torch.Generator().manual_seed(11)
    return torch.randn(count, channels, *size, generator=generator)


def scores_of(answer: Tensor | tuple[Tensor, ...]) -> Tensor:
    return answer[0] if isinstance(answer, tuple) else answer


def per_pixel(network: nn.Module) -> bool:
    return getattr(network, "outputs", "scores") == "map"


@pytest.mark.parametrize(("pick", "size"), CASES)
def test_forward_gives_finite_scores(pick: Pick, size: tuple[int, int]) -> None:
    network = build(pick, size).eval()
    for count in (1, 3):
        scores = network(images(size, count))
        assert scores.shape[:2] == (count, NUM_CLASSES)
        assert scores.ndim == (4 if per_pixel(network) else 2)
        assert scores.isfinite().all()


@pytest.mark.parametrize("name", list(NETWORKS))
def test_forward_at_the_natural_size(name: str) -> None:
    length = getattr(NETWORKS[name], "natural_size", 32)
    with torch.device("meta"):
        network = NETWORKS.build(
            Pick(name), num_classes=NUM_CLASSES, in_channels=3, input_size=(length, length)
        )
    scores = network.eval()(torch.empty(2, 3, length, length, device="meta"))
    assert scores.shape[:2] == (2, NUM_CLASSES)


@pytest.mark.parametrize(("pick", "size"), CASES)
def test_every_parameter_receives_a_finite_gradient(pick: Pick, size: tuple[int, int]) -> None:
    network = build(pick, size)
    answers = network(images(size, 5))
    answers = answers if isinstance(answers, tuple) else (answers,)
    sum(answer.square().sum() + answer.sum() for answer in answers).backward()
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
        else:
            assert parameter.grad is None, name


@pytest.mark.parametrize(("pick", "size"), CASES)
def test_eval_mode_changes_nothing_and_repeats_itself(pick: Pick, size: tuple[int, int]) -> None:
    network = build(pick, size).eval()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    x = images(size)
    untouched = x.clone()
    assert torch.equal(network(x), network(x))
    assert torch.equal(x, untouched)
    for key, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[key]), key


@pytest.mark.parametrize(("pick", "size"), CASES)
def test_images_of_a_batch_do_not_see_each_other(pick: Pick, size: tuple[int, int]) -> None:
    network = build(pick, size).double().eval()
    x = images(size).double()
    alone = torch.cat([network(image[None]) for image in x])
    torch.testing.assert_close(network(x), alone, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("pick", "size"), CASES)
def test_memory_layout_does_not_matter(pick: Pick, size: tuple[int, int]) -> None:
    network = build(pick, size).double().eval()
    x = images(size).double()
    expected = network(x)
    network = network.to(memory_format=torch.channels_last)
    scores = network(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(scores, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("pick", "size"), CASES)
def test_weights_survive_a_file(pick: Pick, size: tuple[int, int], tmp_path: Path) -> None:
    network = build(pick, size)
    network(images(size, 5))  # moves running averages
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    torch.manual_seed(99)
    other = NETWORKS.build(pick, num_classes=NUM_CLASSES, in_channels=IN_CHANNELS, input_size=size)
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    x = images(size)
    assert torch.equal(network.eval()(x), other.eval()(x))


@pytest.mark.parametrize(("pick", "size"), CASES)
def test_the_seed_decides_the_construction(pick: Pick, size: tuple[int, int]) -> None:
    one, two = build(pick, size).state_dict(), build(pick, size).state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)
    torch.manual_seed(8)
    other = NETWORKS.build(
        pick, num_classes=NUM_CLASSES, in_channels=IN_CHANNELS, input_size=size
    ).state_dict()
    differs = any(not torch.equal(one[key], other[key]) for key in one)
    assert differs or pick.name == "linear"  # which begins at zero


@pytest.mark.parametrize(("pick", "size"), CASES)
def test_wrong_inputs_are_explained(pick: Pick, size: tuple[int, int]) -> None:
    network = build(pick, size).eval()
    with pytest.raises(ShapeError, match=r"built for in_channels=3.*has 1 channels"):
        network(images(size, channels=1))
    with pytest.raises(ShapeError, match=r"A single image needs a batch axis"):
        network(images(size)[0])
    # all others have a least or an exact size
    if pick.name not in ("resnet", "efficientnet", "efficientnet_unet"):
        with pytest.raises(ShapeError, match=r"needs images of|built for input_size"):
            network(images((1, 1)))


@pytest.mark.parametrize(("pick", "size"), FIRST)
def test_grey_images(pick: Pick, size: tuple[int, int]) -> None:
    network = build(pick, size, channels=1).eval()
    assert network(images(size, channels=1)).shape[:2] == (3, NUM_CLASSES)


@pytest.mark.parametrize(("pick", "size"), FIRST)
@pytest.mark.parametrize("ndim", [1, 3])
def test_other_numbers_of_dimensions(pick: Pick, size: tuple[int, int], ndim: int) -> None:
    if "ndim" not in inspect.signature(NETWORKS[pick.name]).parameters:
        pytest.skip(f"{pick.name} is for images only")
    length = (size * 2)[:ndim]
    device = "meta" if ndim == 3 and max(size) > 34 else "cpu"  # shapes alone where it is long
    with torch.device(device):
        network = build(pick, length, ndim=ndim).eval()
        scores = network(torch.rand(2, IN_CHANNELS, *length))
    assert scores.shape[:2] == (2, NUM_CLASSES)
    assert scores.ndim == 2 + (ndim if per_pixel(network) else 0)


@pytest.mark.parametrize(("pick", "size"), FIRST)
def test_an_impossible_number_of_dimensions_is_refused(pick: Pick, size: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match=r"ndim=4 does not exist; accepted: 1, 2, 3"):
        build(pick, size, ndim=4)


@pytest.mark.parametrize(("pick", "size"), LEARNED)
def test_eight_samples_are_learned_by_heart(pick: Pick, size: tuple[int, int]) -> None:
    network = build(pick, size)
    x = images(size, 8)
    if hasattr(network, "initialise_from"):
        network.initialise_from(x)
    shape = scores_of(network(x)).shape
    labels = torch.arange(8) % NUM_CLASSES
    if per_pixel(network):  # patches of 4 × 4 pixels, each with its class
        x = functional.interpolate(images((5, 6), 8), scale_factor=4)[:, :, : size[0], : size[1]]
        top, left = ((a - b) // 2 for a, b in zip(size, shape[2:], strict=True))
        seen = x[:, 0, top : top + shape[2], left : left + shape[3]]
        labels = (seen > 0).long() + 2 * (seen.abs() > 1).long()
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=LEARNING_RATE.get(pick.name, 1e-2))
    weight = getattr(network, "auxiliary_weight", 0.0)
    loss = torch.tensor(float("inf"))
    for _ in range(200):
        answer = network(x)
        loss = functional.cross_entropy(scores_of(answer), labels)
        if loss < 0.1:
            break
        total = loss
        if isinstance(answer, tuple):
            total = loss + weight * sum(functional.cross_entropy(a, labels) for a in answer[1:])
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
    assert loss < 0.1


@pytest.mark.parametrize(("pick", "size"), CASES)
def test_auxiliary_heads_answer_while_training_only(pick: Pick, size: tuple[int, int]) -> None:
    network = build(pick, size)
    answer = network(images(size))
    if isinstance(answer, tuple):
        assert len(answer) > 1
        assert all(scores.shape == (3, NUM_CLASSES) for scores in answer)
        assert 0 < network.auxiliary_weight <= 1
    assert isinstance(network.eval()(images(size)), Tensor)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_the_table_describes_it(name: str) -> None:
    assert NETWORKS.describe(name)
    assert not NETWORKS.problems(Pick(name), offered=("num_classes", "in_channels", "input_size"))
