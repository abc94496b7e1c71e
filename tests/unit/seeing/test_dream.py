"""Ascent on the image raises its target, in the cases in which other systems stay grey, too."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import ConfigError
from striate.networks import NETWORKS
from striate.registry import Pick
from striate.seeing import Unit
from striate.seeing.dream import Ascent, dream, maximise
from striate.seeing.rectifiers import Rectifiers

LIMITS = {"low": [-2.0, -1.8, -1.5], "high": [2.2, 2.4, 2.6]}


def resnet() -> nn.Module:
    torch.manual_seed(0)
    network = NETWORKS.build(Pick("resnet", depth=8, width=4), num_classes=4)
    network(torch.randn(8, 3, 16, 16))
    return network


class Dead(nn.Module):
    """Two layers of rectifiers, all closed for a grey image, and a unit that both keep closed."""

    def __init__(self, channels: int, in_place: bool, cap: bool) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv1, self.conv2 = nn.Conv2d(channels, 6, 3, padding=1), nn.Conv2d(6, 4, 3)
        self.in_place, self.cap = in_place, cap
        nn.init.constant_(self.conv1.bias, -0.5)  # type: ignore[arg-type]
        nn.init.constant_(self.conv2.bias, -0.3)  # type: ignore[arg-type]

    def rectify(self, x: Tensor) -> Tensor:
        return F.relu6(x) if self.cap else F.relu(x, inplace=self.in_place)

    def forward(self, x: Tensor) -> Tensor:
        return self.rectify(self.conv2(self.rectify(self.conv1(x)))).amax((2, 3))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("in_place", "cap", "unit"), [(False, False, 0), (True, False, 1), (False, True, 2)]
)
def test_a_unit_that_is_dead_at_the_start_is_raised(
    channels: int, in_place: bool, cap: bool, unit: int
) -> None:
    network = Dead(channels, in_place, cap)
    grey = torch.zeros(1, channels, 12, 12, requires_grad=True)
    (slope,) = torch.autograd.grad(network(grey * 1)[0, unit], grey)
    assert not slope.any()
    found = maximise(network, unit, (channels, 12, 12), low=-2.0, high=2.0, steps=48)
    assert found.before == 0
    assert found.after > 0.3


@pytest.mark.parametrize("size", [(32, 32), (12, 20), (9, 7)])
@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("target", [2, "stages.1", Unit("stem", 1), Unit("stem", 3, (4, 2))])
def test_class_layer_and_unit_are_raised_in_small_images(
    size: tuple[int, int], is_training: bool, target: Any
) -> None:
    network = resnet().train(is_training)
    found = maximise(network, target, (3, *size), **LIMITS, steps=30)  # type: ignore[arg-type]
    assert found.after > found.before + 0.3 * abs(found.before)
    assert network.training == is_training


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_dream_raises_what_a_layer_sees_in_an_image(channels: int) -> None:
    torch.manual_seed(3)
    network = nn.Sequential(nn.Conv2d(channels, 8, 5, padding=2), nn.ReLU(), nn.Conv2d(8, 4, 3))
    image = torch.rand(channels, 20, 28)
    found = dream(network, image, "1", low=0.0, high=1.0)
    with torch.no_grad():
        before, after = (float(network[:2](x[None]).square().mean()) for x in (image, found.image))
    assert found.before == pytest.approx(before)
    assert found.after == pytest.approx(after)
    assert after > 1.2 * before
    a, b = image.flatten() - image.mean(), found.image.flatten() - found.image.mean()
    assert F.cosine_similarity(a, b, dim=0) > 0.5  # the image is still there


def test_one_seed_gives_the_same_bits() -> None:
    network = resnet()
    first, again, other = (
        maximise(network, 1, (3, 12, 12), **LIMITS, steps=5, seed=seed)  # type: ignore[arg-type]
        for seed in (0, 0, 1)
    )
    assert torch.equal(first.image, again.image)
    assert first.after == again.after
    assert not torch.equal(first.image, other.image)


def test_pixels_stay_within_the_limits_of_each_channel() -> None:
    found = maximise(resnet(), 0, (3, 12, 12), **LIMITS, steps=20, rate=2.0)  # type: ignore[arg-type]
    low, high = (torch.tensor(LIMITS[name])[:, None, None] for name in ("low", "high"))
    assert bool(((found.image >= low) & (found.image <= high)).all())
    assert bool(((found.image - low).amin((1, 2)) < 0.2).all())
    assert bool(((high - found.image).amin((1, 2)) < 0.2).all())


def test_a_linear_target_comes_near_the_best_value_there_is() -> None:
    """The best image is `high` where the weight is positive and `low` elsewhere."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(256, 1, bias=False))
    weight = torch.ones(16, 16)
    weight[:, :8] = -1
    with torch.no_grad():
        network[1].weight.copy_(weight.view(1, -1))
    found = maximise(network, 0, (1, 16, 16), low=-1.0, high=3.0)
    best = 128 * 3.0 + 128 * 1.0
    assert 0.8 * best < found.after <= best
    assert abs(found.before - 0) < 60  # noise about the middle, where halves cancel out


def test_no_steps_give_the_image_back_and_limits_cut_it() -> None:
    torch.manual_seed(5)
    for channels in (1, 3):
        image = torch.rand(channels, 15, 10) * 1.2 - 0.1
        found = dream(nn.Conv2d(channels, 1, 3), image, "", low=0.0, high=1.0, steps=0)
        torch.testing.assert_close(found.image, image.clamp(0, 1), atol=0.0025, rtol=0)


def test_noise_falls_with_frequency_as_photographs_do() -> None:
    network = nn.Conv2d(1, 1, 1)
    powers = torch.stack(
        [
            torch.fft.rfft(
                maximise(network, "", (1, 32, 32), low=0.0, high=1.0, steps=0, seed=seed).image[0]
                - 0.5
            )
            .abs()
            .square()
            .mean(0)
            for seed in range(40)
        ]
    ).mean(0)
    # Summed over the rows, power 1 / f² falls as 1 / f.
    ratio = float(powers[2:5].mean() / powers[8:13].mean())
    assert 2.5 < ratio < 6.5


def test_progress_names_each_step_and_the_value_rises() -> None:
    seen: list[tuple[int, int, float]] = []
    maximise(
        resnet(),
        3,
        (3, 12, 12),
        **LIMITS,
        steps=12,
        progress=lambda *step: seen.append(step),  # type: ignore[arg-type]
    )
    assert [(step, of) for step, of, _ in seen] == [(i, 12) for i in range(1, 13)]
    assert seen[-1][2] > seen[0][2]


def test_what_would_open_a_closed_rectifier_passes() -> None:
    x = torch.tensor([-1.0, -1.0, 2.0, 2.0, 7.0, 7.0], requires_grad=True)
    signals = torch.tensor([3.0, -3.0, 3.0, -3.0, 3.0, -3.0])
    with Rectifiers("opening"):
        capped, plain = F.relu6(x), F.relu(x)
    leak = 0.001
    torch.testing.assert_close(capped.tolist(), [-leak, -leak, 2.0, 2.0, 6 + leak, 6 + leak])
    slopes = [torch.autograd.grad(y, x, signals)[0].tolist() for y in (capped, plain)]
    assert slopes == [[3, 0, 3, -3, 0, -3], [3, 0, 3, -3, 3, -3]]


def test_nothing_is_left_on_the_network() -> None:
    network = resnet().train()
    before = copy.deepcopy(network.state_dict())
    image = torch.rand(3, 12, 12)
    kept, random = image.clone(), torch.get_rng_state()
    maximise(network, 1, (3, 12, 12), **LIMITS, steps=2)  # type: ignore[arg-type]
    dream(network, image, "stem", **LIMITS, steps=2)  # type: ignore[arg-type]
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(image, kept)
    assert network.training
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_target_that_nothing_moves_says_so_by_its_values() -> None:
    network = nn.Conv2d(1, 2, 3)
    with torch.no_grad():
        network.weight.zero_()
    found = maximise(network, Unit("", 0), (1, 8, 8), low=0.0, high=1.0, steps=3)
    assert isinstance(found, Ascent)
    assert found.after == found.before


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        ({"shape": (12, 12)}, r"\(channels, height, width\) is needed"),
        ({"low": 3.0}, "low must be below high"),
        ({"low": [0.0, 1.0]}, "low has 2 value"),
        ({"steps": -1}, "steps=-1 must be 0 or more"),
        ({"target": 9}, "no class"),
        ({"target": "stems"}, "no layer named 'stems'"),
        ({"target": lambda y: y.detach()[:, 0]}, "does not depend on the image"),
        ({"target": lambda y: y[:, 0] * torch.nan}, "not a finite number"),
    ],
)
def test_what_does_not_fit_is_said(ask: dict[str, Any], message: str) -> None:
    usual: dict[str, Any] = {
        "target": 0,
        "shape": (3, 12, 12),
        "low": -2.0,
        "high": 2.0,
        "steps": 2,
    }
    with pytest.raises(ConfigError, match=message):
        maximise(resnet(), **{**usual, **ask})
