"""Images that raise a number of a network: the weights stay fixed, the image is adjusted.

From noise, such an image shows what a unit or a class responds to; from a photograph, what the
network sees in it. Gradient ascent on bare pixels ends in high-frequency noise. Three measures
prevent that: the image is a Fourier series whose terms weigh as much as in photographs, its colours
are those that vary independently, and each step looks at it slightly shifted and scaled.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ConfigError
from striate.randomness import generator
from striate.seeing.rectifiers import Rectifiers, Rule
from striate.seeing.target import Target, scores_of
from striate.seeing.twin import captured, last_call, twin

__all__ = ["Ascent", "dream", "maximise"]

Progress = Callable[[int, int, float], None]
"""Called after each step with its number from 1, the number of steps, and the target's value."""

_COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.0, -0.05), (0.27, -0.09, 0.03))
"""Root of the covariance of red, green and blue in photographs, as Lucid has it: brightness, red
against blue, green against both."""
_SHIFT, _ZOOM = 1 / 16, 0.1
"""Largest shift, as a share of the side, and largest change of scale in a step."""
_NOISE = 0.01
_MARGIN = 0.002
"""Half a grey level of 256: the ends of the range are infinitely far away for a sigmoid."""


@dataclass(frozen=True)
class Ascent:
    """An image that was adjusted, and the target's value before and after."""

    image: Float[Tensor, "C H W"]
    """In the range that pixels can take, normalised as the network takes them."""
    before: float
    """Value of the noise or of the given image."""
    after: float
    """Value of the result, neither shifted nor scaled. Where it is no larger than before, nothing
    in the image moves the target."""


def maximise(
    network: nn.Module,
    target: Target | str,
    shape: Sequence[int],
    *,
    low: float | Sequence[float] | Tensor,
    high: float | Sequence[float] | Tensor,
    steps: int = 128,
    rate: float = 0.05,
    seed: int = 0,
    progress: Progress | None = None,
) -> Ascent:
    """An image, made from noise, that excites a class or a unit as much as possible.

    Args:
        network: Any module; left as it is.
        target: Class (its score before softmax), unit, function, or the name of a layer, whose mean
            square is raised.
        shape: Channels, height and width of the image.
        low: The smallest value that a normalised pixel can take, (0 − mean) / deviation, for all
            channels or for each.
        high: The largest one, (1 − mean) / deviation.
        steps: Steps of gradient ascent.
        rate: Length of the steps.
        seed: Seed of the noise and of the shifts.
        progress: Called after each step.

    Raises:
        ConfigError: a target or layer that the network does not have, or limits that do not fit.

    Source: Simonyan, Vedaldi and Zisserman, Deep Inside Convolutional Networks (2014), section 2;
    Olah, Mordvintsev and Schubert, Feature Visualization (2017), "Preconditioning" and
    "Transformation Robustness".

    Example:
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
        >>> found = maximise(network, 1, (1, 8, 8), low=0.0, high=1.0, steps=8)
        >>> found.after > found.before
        True
    """
    reference = next((p for p in network.parameters() if p.is_floating_point()), torch.zeros(()))
    canvas = _Canvas(shape, low, high, reference)
    noise = torch.randn(canvas.spectrum_shape, generator=generator(seed, "maximise", "noise"))
    return _ascend(network, target, canvas, _NOISE * noise, None, steps, rate, seed, progress)


def dream(
    network: nn.Module,
    image: Float[Tensor, "C H W"],
    target: Target | str,
    *,
    low: float | Sequence[float] | Tensor,
    high: float | Sequence[float] | Tensor,
    steps: int = 32,
    rate: float = 0.02,
    seed: int = 0,
    progress: Progress | None = None,
) -> Ascent:
    """An image in which what the network sees there is enhanced.

    Args:
        network: Any module; left as it is.
        image: Where to begin, as the network takes it; values beyond the limits are cut.
        target: Usually the name of a layer, whose mean square is raised: whatever it responds to
            becomes stronger. Otherwise as for `maximise`.
        low: As for `maximise`.
        high: As for `maximise`.
        steps: Steps of gradient ascent; the more, the less is left of the image.
        rate: Length of the steps.
        seed: Seed of the shifts.
        progress: Called after each step.

    Raises:
        ConfigError: as for `maximise`.

    Source: Mordvintsev, Olah and Tyka, Inceptionism: Going Deeper into Neural Networks (2015).
    """
    canvas = _Canvas(image.shape, low, high, image)
    start = image.detach()
    return _ascend(
        network, target, canvas, canvas.spectrum(start), start, steps, rate, seed, progress
    )


class _Canvas:
    """An image by its Fourier coefficients, within limits.

    A coefficient of frequency f counts 1/f, as in photographs, so that a step of one length in all
    coefficients draws large shapes first.
    """

    def __init__(
        self,
        shape: Sequence[int],
        low: float | Sequence[float] | Tensor,
        high: float | Sequence[float] | Tensor,
        like: Tensor,
    ) -> None:
        if len(shape) != 3 or min(shape) < 1:
            raise ConfigError(
                f"Images of shape {tuple(shape)}: (channels, height, width) is needed."
            )
        channels, height, width = shape
        self.size = (height, width)
        self.low, self.high = (
            _limits(name, value, channels, like) for name, value in (("low", low), ("high", high))
        )
        if not bool((self.low < self.high).all()):
            raise ConfigError("low must be below high in every channel: pixels lie between them.")
        rows, columns = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)
        frequencies = (rows**2 + columns**2).sqrt().clamp(min=1 / max(self.size))
        self.weights = (1 / frequencies).to(like)
        self.colours = torch.eye(channels).to(like)
        if channels == 3:
            colours = torch.tensor(_COLOURS)
            self.colours = (colours / colours.norm(dim=0).max()).to(like)

    @property
    def spectrum_shape(self) -> tuple[int, ...]:
        return (len(self.low), *self.weights.shape, 2)

    def image(self, spectrum: Float[Tensor, "C H V 2"]) -> Float[Tensor, "C H W"]:
        """The image of a spectrum."""
        terms = torch.view_as_complex(spectrum.contiguous()) * self.weights
        planes = torch.fft.irfftn(terms, s=self.size, dim=(1, 2), norm="ortho")
        mixed = torch.einsum("cd,dhw->chw", self.colours, planes)
        return self.low + (self.high - self.low) * mixed.sigmoid()

    def spectrum(self, image: Float[Tensor, "C H W"]) -> Float[Tensor, "C H V 2"]:
        """The spectrum of an image."""
        share = ((image - self.low) / (self.high - self.low)).clamp(_MARGIN, 1 - _MARGIN)
        planes = torch.linalg.solve(self.colours, share.logit().flatten(1)).view_as(image)
        return torch.view_as_real(torch.fft.rfftn(planes, dim=(1, 2), norm="ortho") / self.weights)


def _ascend(
    network: nn.Module,
    target: Target | str,
    canvas: _Canvas,
    spectrum: Tensor,
    start: Tensor | None,
    steps: int,
    rate: float,
    seed: int,
    progress: Progress | None,
) -> Ascent:
    if steps < 0 or rate <= 0:
        raise ConfigError(f"steps={steps} must be 0 or more, and rate={rate} above 0.")
    network = twin(network)
    spectrum = spectrum.to(canvas.low).requires_grad_()
    optimiser = torch.optim.Adam([spectrum], lr=rate)
    with torch.no_grad():
        start = canvas.image(spectrum) if start is None else start
        before = float(_value(network, start[None], target))
    for step in range(steps):
        # Fewer and fewer changes, so that the end rests on the image as it is.
        draw = 2 * torch.rand(3, generator=generator(seed, "maximise", "view", step)) - 1
        draw *= 1 - step / steps
        value, slope = _slope(network, target, canvas, spectrum, draw, None)
        if not bool(slope.any()):
            # Closed rectifiers all the way: first they have to open.
            _, slope = _slope(network, target, canvas, spectrum, draw, "opening")
        spectrum.grad = -slope
        optimiser.step()
        if progress is not None:
            progress(step + 1, steps, value)
    with torch.no_grad():
        image = canvas.image(spectrum)
        return Ascent(image, before, float(_value(network, image[None], target)))


def _slope(
    network: nn.Module,
    target: Target | str,
    canvas: _Canvas,
    spectrum: Tensor,
    draw: Float[Tensor, "3"],
    rule: Rule | None,
) -> tuple[float, Tensor]:
    """The target's value of the image, shifted and scaled as drawn, and its gradient."""
    with torch.enable_grad():
        image = _moved(canvas.image(spectrum), draw)
        with nullcontext() if rule is None else Rectifiers(rule):
            value = _value(network, image, target)
        if not value.requires_grad:
            raise ConfigError("The target does not depend on the image through anything smooth.")
        (slope,) = torch.autograd.grad(value.sum(), spectrum)
    if not bool(slope.isfinite().all()):
        raise ConfigError("The target's gradient is not a finite number, so nothing can be raised.")
    return float(value.detach()), slope


def _moved(image: Float[Tensor, "C H W"], draw: Float[Tensor, "3"]) -> Float[Tensor, "1 C H W"]:
    """The image shifted and scaled; beyond its borders it is mirrored."""
    down, right, zoom = draw.tolist()
    # Coordinates run from −1 to 1, so that a side is 2.
    scale = 1 + _ZOOM * zoom
    rows = [[scale, 0.0, 2 * _SHIFT * right], [0.0, scale, 2 * _SHIFT * down]]
    grid = F.affine_grid(torch.tensor([rows]).to(image), [1, *image.shape], align_corners=False)
    return F.grid_sample(image[None], grid, padding_mode="reflection", align_corners=False)


def _value(
    network: nn.Module, images: Float[Tensor, "B C H W"], target: Target | str
) -> Float[Tensor, "B"]:
    """The number that is to be raised, for each image."""
    if not isinstance(target, str):
        return scores_of(network, images, target)
    with captured(network, target) as layers:
        network(images)
    return last_call(layers, target).square().flatten(1).mean(1)


def _limits(
    name: str, value: float | Sequence[float] | Tensor, channels: int, like: Tensor
) -> Float[Tensor, "C 1 1"]:
    limits = torch.as_tensor(value).detach().to(like)
    if limits.ndim > 1 or limits.numel() not in (1, channels):
        raise ConfigError(
            f"{name} has {limits.numel()} value(s); one for all channels or {channels} are needed."
        )
    return limits.flatten().expand(channels)[:, None, None]
