"""Sizes that networks can take, found without computing."""

import pytest

from striate.networks import NETWORKS
from striate.registry import Pick
from striate.training.fitting import fitted, outputs_problem, size_problem


@pytest.mark.parametrize("name", list(NETWORKS))
def test_the_natural_size_fits(name: str) -> None:
    side = getattr(NETWORKS[name], "natural_size", 32)
    assert size_problem(Pick(name), 3, (side, side)) is None


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("alexnet", (32, 32), (64, 64)),
        ("alexnet_owt", (24, 36), (64, 96)),
        ("alexnet_owt", (30, 50), (64, 107)),
        ("vgg", (28, 28), (32, 32)),
        ("squeezenet", (8, 8), (24, 24)),
    ],
)
def test_small_images_are_enlarged(
    name: str, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert "needs images of" in (size_problem(Pick(name), 3, size) or "")
    found, why = fitted({"name": name}, 3, size, "own")
    assert found == expected
    assert why == f"{name} cannot take the images' {size[0]} × {size[1]}"
    assert size_problem(Pick(name), 3, found) is None


@pytest.mark.parametrize(
    "setting", [None, "lenet5", "nothing", {"name": "vgg", "depht": 3}, {"depth": 20}]
)
def test_other_sizes_are_left_alone(setting: object) -> None:
    assert fitted(setting, 3, (28, 29), "own") == ((28, 29), "own")  # type: ignore[arg-type]


def test_networks_that_answer_for_pixels_are_refused() -> None:
    refused = {name for name in NETWORKS if outputs_problem(Pick(name), "scores") is not None}
    assert refused == {"segnet", "unet", "efficientnet_unet"}
    assert "resnet, densenet" in (outputs_problem(Pick("unet"), "scores") or "")
    assert outputs_problem(Pick("unet"), "map") is None
