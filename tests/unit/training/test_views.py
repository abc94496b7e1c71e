"""Views of an image, and the mean of a network's scores over them."""

import numpy as np
import pytest
import torch
from torch import nn

from striate.config import ExecutionConfig, PredictionConfig, RunConfig
from striate.data.loader import Normalisation
from striate.errors import ConfigError
from striate.execution import Execution
from striate.recipes import RECIPES
from striate.registry import Pick
from striate.tasks import Classification
from striate.training.inference import Model, infer
from striate.training.views import num_views, views


@pytest.fixture
def run_config() -> RunConfig:
    return RECIPES.build(Pick("digits_lenet"))


ALL = [PredictionConfig(m, s, z) for m in (False, True) for s in (0, 1, 3) for z in (None, 0.7)]


@pytest.mark.parametrize("prediction", ALL, ids=str)
def test_the_weights_sum_to_one_and_the_count_is_known(prediction: PredictionConfig) -> None:
    images = torch.randn(2, 3, 5, 7)
    found = list(views(images.shape, prediction))
    assert len(found) == num_views(prediction)
    assert sum(weight for weight, _ in found) == pytest.approx(1)
    assert all(warp.image(images).shape == images.shape for _, warp in found[1:] if warp)
    assert found[0][1] is None


def test_a_shift_moves_and_mirrors_the_border() -> None:
    image = torch.arange(9.0).view(1, 1, 3, 3)
    warps = [warp for _, warp in views(image.shape, PredictionConfig(shift=1))]
    moved = [image[0, 0].tolist() if w is None else w.image(image)[0, 0].tolist() for w in warps]
    assert moved[1] == [[4, 5, 4], [7, 8, 7], [4, 5, 4]]  # up and to the left
    assert moved[2] == [[4, 3, 4], [1, 0, 1], [4, 3, 4]]


class Corner(nn.Module):
    """Scores that tell left from right: the upper left pixel against the upper right one."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack((x[:, 0, 0, 0], x[:, 0, 0, -1]), dim=1)


def _infer(images: np.ndarray, prediction: PredictionConfig) -> np.ndarray:
    model = _model(Corner(), Normalisation((0.0,), (1.0,)), prediction)
    return infer(model, images, batch_size=4)["probabilities"]


def _model(
    network: nn.Module, normalise: Normalisation, prediction: PredictionConfig | None = None
) -> Model:
    networks = nn.ModuleDict({"network": network})
    execution = Execution.of(ExecutionConfig(device="cpu"))
    views = prediction or PredictionConfig()
    return Model(networks, Classification(), normalise, execution, views)


def test_mirrored_views_cancel_what_tells_left_from_right() -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 1)).astype(np.uint8)
    np.testing.assert_allclose(_infer(images, PredictionConfig(mirrored=True)), 0.5, rtol=1e-6)
    assert np.abs(_infer(images, PredictionConfig()) - 0.5).max() > 0.01


def test_a_run_without_views_keeps_its_hash_and_reads_back(run_config: RunConfig) -> None:
    assert "prediction" not in run_config.to_json()
    encoded = run_config.to_json() | {"prediction": {"mirrored": True, "shift": 1}}
    other = RunConfig.from_json(encoded)
    assert other.prediction == PredictionConfig(True, 1)
    assert other.hash != run_config.hash


def test_a_shift_as_large_as_the_image_is_refused(run_config: RunConfig) -> None:
    side = min(run_config.data.input_size)
    with pytest.raises(ConfigError, match=r"prediction\.shift"):
        RunConfig.from_json(run_config.to_json() | {"prediction": {"shift": side}})


@pytest.mark.parametrize(("side", "expected"), [(8, [256, 44]), (512, [16, 16, 8])])
def test_of_large_images_few_are_answered_at_once(side: int, expected: list[int]) -> None:
    met = []

    class Counts(Corner):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            met.append(len(x))
            return super().forward(x)

    images = np.zeros((sum(expected), side, side, 1), np.uint8)
    infer(_model(Counts(), Normalisation((0.5,), (0.25,))), images)
    assert met == expected


def test_a_zoom_enlarges_the_centre_and_its_mirror_image() -> None:
    image = torch.arange(64.0).view(1, 1, 8, 8)
    zoomed = PredictionConfig(mirrored=True, zoom=0.5)
    weights, warps = zip(*views(image.shape, zoomed), strict=True)
    assert weights == (0.25, 0.25, 0.25, 0.25)
    centre = torch.nn.functional.interpolate(image, size=(16, 16), mode="bicubic")[..., 4:12, 4:12]
    torch.testing.assert_close(warps[1].image(image), centre)
    torch.testing.assert_close(warps[3].image(image), centre.flip(3))
