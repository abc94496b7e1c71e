"""Random changes of whole batches that keep the meaning of an image.

Each augmentation is a function of a batch in [0, 1]: `(images, target, generator, ...)` gives
`(images, target)`. Chance comes from the generator alone and is drawn on the CPU, a few numbers
an image, so that a seed gives the same batch on every device.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Num
from torch import Tensor
from torch.nn import functional

from striate.randomness import generator as named_generator
from striate.registry import Pick, Registry

__all__ = [
    "AUGMENTATIONS",
    "Augmentation",
    "affine",
    "augmenter",
    "colour",
    "cutmix",
    "erase",
    "flip",
    "mixup",
    "resized_crop",
    "shift",
]

Images = Float[Tensor, "B C H W"]
Target = Num[Tensor, "B"] | Float[Tensor, "B K"]
Augmentation = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]


def _uniform(low: float, high: float, size: int, draw: torch.Generator) -> Tensor:
    return torch.rand(size, generator=draw) * (high - low) + low


def _take(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Pixels of each image at its own rows (B, H') and columns (B, W').

    Whole pixels are gathered from the channels-last layout: one row of C values each.
    """
    B, C, H, W = images.shape
    rows, columns = rows.to(images.device), columns.to(images.device)
    start = torch.arange(B, device=images.device).view(B, 1, 1) * (H * W)
    index = start + rows[:, :, None] * W + columns[:, None, :]
    pixels = images.permute(0, 2, 3, 1).reshape(B * H * W, C)
    taken = pixels.index_select(0, index.reshape(-1))
    return taken.view(B, rows.shape[1], columns.shape[1], C).permute(0, 3, 1, 2)


def _reflect(index: Tensor, size: int) -> Tensor:
    """Indices beyond the border mirrored back without repeating the border pixel."""
    if size == 1:
        return torch.zeros_like(index)
    period = 2 * (size - 1)
    index = index.remainder(period)
    return torch.minimum(index, period - index)


def flip(
    images: Images,
    target: Target,
    generator: torch.Generator,
    *,
    probability: float = 0.5,
    vertical: bool = False,
) -> tuple[Images, Target]:
    """Mirror images left to right (or top to bottom).

    Args:
        images: batch, values in [0, 1].
        target: classes (B,) or class weights (B, K); unchanged.
        generator: source of chance, on the CPU.
        probability: of mirroring an image.
        vertical: mirror top to bottom instead.

    Example:
        >>> images = torch.arange(3.0).view(1, 1, 1, 3)
        >>> flip(images, torch.tensor([0]), torch.Generator(), probability=1.0)[0].flatten()
        tensor([2., 1., 0.])
    """
    B, _, H, W = images.shape
    turned = (torch.rand(B, generator=generator) < probability)[:, None]
    rows, columns = torch.arange(H).expand(B, H), torch.arange(W).expand(B, W)
    if vertical:
        rows = torch.where(turned, H - 1 - rows, rows)
    else:
        columns = torch.where(turned, W - 1 - columns, columns)
    return _take(images, rows, columns), target


def shift(
    images: Images, target: Target, generator: torch.Generator, *, fraction: float = 0.0625
) -> tuple[Images, Target]:
    """Move images by whole pixels, the border mirrored (the padded random crop).

    Args:
        images: batch, values in [0, 1].
        target: unchanged.
        generator: source of chance, on the CPU.
        fraction: largest move as a share of the side (0.0625 moves 32 pixels by up to 2).

    Example:
        >>> images = torch.rand(2, 3, 8, 8)
        >>> shift(images, torch.tensor([0, 1]), torch.Generator(), fraction=0.0)[0].equal(images)
        True
    """
    B, _, H, W = images.shape
    reach = (round(fraction * H), round(fraction * W))
    moves = [torch.randint(-r, r + 1, (B, 1), generator=generator) for r in reach]
    rows = _reflect(torch.arange(H) + moves[0], H)
    columns = _reflect(torch.arange(W) + moves[1], W)
    return _take(images, rows, columns), target


def _resample(images: Tensor, matrices: Tensor) -> Tensor:
    """Images seen through one affine map each: (B, 2, 3) from output to input coordinates."""
    grid = functional.affine_grid(
        matrices.to(images.device), list(images.shape), align_corners=False
    )
    return functional.grid_sample(
        images,
        grid.to(images.dtype),
        mode="bilinear",
        padding_mode="reflection",
        align_corners=False,
    )


def resized_crop(
    images: Images,
    target: Target,
    generator: torch.Generator,
    *,
    smallest: float = 0.35,
    ratio: float = 1.33,
) -> tuple[Images, Target]:
    """Cut a random window and stretch it over the whole image.

    Args:
        images: batch, values in [0, 1].
        target: unchanged.
        generator: source of chance, on the CPU.
        smallest: smallest area of the window as a share of the image.
        ratio: largest stretch of one side against the other.

    Source: Szegedy et al. 2015, "Going deeper with convolutions" (training by random areas).
    """
    B = images.shape[0]
    area = _uniform(smallest, 1.0, B, generator)
    log_ratio = torch.log(torch.tensor(ratio))
    stretch = torch.exp(_uniform(-1.0, 1.0, B, generator) * log_ratio).sqrt()
    height = (area.sqrt() * stretch).clamp(max=1.0)
    width = (area.sqrt() / stretch).clamp(max=1.0)
    matrices = torch.zeros(B, 2, 3)
    matrices[:, 0, 0], matrices[:, 1, 1] = width, height
    matrices[:, 0, 2] = _uniform(-1.0, 1.0, B, generator) * (1 - width)
    matrices[:, 1, 2] = _uniform(-1.0, 1.0, B, generator) * (1 - height)
    return _resample(images, matrices), target


def affine(
    images: Images,
    target: Target,
    generator: torch.Generator,
    *,
    degrees: float = 10.0,
    scale: float = 0.1,
    shift: float = 0.06,
    shear: float = 0.1,
) -> tuple[Images, Target]:
    """Rotate, scale, shear and move images a little, the border mirrored.

    Args:
        images: batch, values in [0, 1].
        target: unchanged.
        generator: source of chance, on the CPU.
        degrees: largest rotation.
        scale: largest change of size as a share.
        shift: largest move as a share of the side.
        shear: largest tangent of the shear.
    """
    B, _, H, W = images.shape
    angle = torch.deg2rad(_uniform(-degrees, degrees, B, generator))
    size = 1 + _uniform(-scale, scale, B, generator)
    slant = _uniform(-shear, shear, B, generator)
    cosine, sine = angle.cos() / size, angle.sin() / size
    aspect = H / W  # coordinates run from -1 to 1 on both axes, whatever the sides
    matrices = torch.empty(B, 2, 3)
    matrices[:, 0, 0], matrices[:, 0, 1] = cosine, (slant * cosine - sine) * aspect
    matrices[:, 1, 0], matrices[:, 1, 1] = sine / aspect, slant * sine + cosine
    matrices[:, :, 2] = _uniform(-2 * shift, 2 * shift, 2 * B, generator).view(B, 2)
    return _resample(images, matrices), target


def colour(
    images: Images,
    target: Target,
    generator: torch.Generator,
    *,
    brightness: float = 0.2,
    contrast: float = 0.2,
    saturation: float = 0.2,
) -> tuple[Images, Target]:
    """Change brightness, contrast and saturation; each is the largest change as a share.

    Args:
        images: batch, values in [0, 1]; saturation is left alone for one channel.
        target: unchanged.
        generator: source of chance, on the CPU.
        brightness: factor 1 ± brightness on all values.
        contrast: factor 1 ± contrast on the distance from the image's mean.
        saturation: factor 1 ± saturation on the distance from grey.
    """
    B, C = images.shape[:2]

    def factor(reach: float) -> Tensor:
        return (1 + _uniform(-reach, reach, B, generator)).view(B, 1, 1, 1).to(images.device)

    images = images * factor(brightness)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = torch.lerp(mean.expand_as(images), images, factor(contrast))
    if C == 3:
        grey = images.mean(dim=1, keepdim=True)
        images = torch.lerp(grey.expand_as(images), images, factor(saturation))
    return images.clamp(0, 1), target


def erase(
    images: Images,
    target: Target,
    generator: torch.Generator,
    *,
    fraction: float = 0.25,
    probability: float = 0.5,
) -> tuple[Images, Target]:
    """Cover a square of each image with the batch's mean colour.

    Args:
        images: batch, values in [0, 1].
        target: unchanged.
        generator: source of chance, on the CPU.
        fraction: side of the square as a share of the image's side.
        probability: of covering an image.

    Source: DeVries & Taylor 2017, "Improved regularization of CNNs with cutout".
    """
    covered = _windows(images, torch.full((images.shape[0],), fraction), generator)
    chosen = torch.rand(images.shape[0], generator=generator) < probability
    mean = images.mean(dim=(0, 2, 3), keepdim=True)
    mask = (covered & chosen.view(-1, 1, 1)).unsqueeze(1).to(images.device)
    return torch.where(mask, mean, images), target


def _windows(images: Tensor, fraction: Tensor, draw: torch.Generator) -> Tensor:
    """A mask (B, H, W) of one rectangle an image, its sides `fraction` of the image's."""
    B, _, H, W = images.shape
    inside = []
    for size in (H, W):
        centre = torch.rand(B, 1, generator=draw) * size
        half = (fraction * size / 2).view(B, 1)
        place = torch.arange(size) + 0.5
        inside.append((place - centre).abs() <= half)
    return inside[0][:, :, None] & inside[1][:, None, :]


def _soft(target: Tensor, num_classes: int) -> Tensor:
    if target.ndim == 2:
        return target
    return functional.one_hot(target.long(), num_classes).float()


def _beta(alpha: float, size: int, draw: torch.Generator) -> Tensor:
    """Draws of Beta(alpha, alpha) as the share of one of two Gamma draws (Jöhnk's property)."""
    pair = torch._standard_gamma(torch.full((2, size), alpha), generator=draw)
    return pair[0] / pair.sum(dim=0).clamp_min(1e-30)


def mixup(
    images: Images,
    target: Target,
    generator: torch.Generator,
    *,
    num_classes: int,
    alpha: float = 0.2,
) -> tuple[Images, Float[Tensor, "B K"]]:
    """Blend each image and its class with another one of the batch.

    Args:
        images: batch, values in [0, 1].
        target: classes (B,) or class weights (B, K).
        generator: source of chance, on the CPU.
        num_classes: K.
        alpha: of the Beta(alpha, alpha) that draws the share.

    Source: Zhang et al. 2018, "mixup: Beyond empirical risk minimization".
    """
    B = images.shape[0]
    other = torch.randperm(B, generator=generator).to(images.device)
    share = _beta(alpha, B, generator).to(images.device)
    soft = _soft(target, num_classes)
    blended = torch.lerp(images[other], images, share.view(B, 1, 1, 1))
    return blended, torch.lerp(soft[other], soft, share.view(B, 1))


def cutmix(
    images: Images,
    target: Target,
    generator: torch.Generator,
    *,
    num_classes: int,
    alpha: float = 1.0,
) -> tuple[Images, Float[Tensor, "B K"]]:
    """Put a window of another image of the batch into each image; classes by area.

    Args:
        images: batch, values in [0, 1].
        target: classes (B,) or class weights (B, K).
        generator: source of chance, on the CPU.
        num_classes: K.
        alpha: of the Beta(alpha, alpha) that draws the area kept.

    Source: Yun et al. 2019, "CutMix".
    """
    B = images.shape[0]
    other = torch.randperm(B, generator=generator).to(images.device)
    mask = _windows(images, (1 - _beta(alpha, B, generator)).sqrt(), generator)
    share = 1 - mask.float().mean(dim=(1, 2)).to(images.device)
    soft = _soft(target, num_classes)
    mixed = torch.where(mask.unsqueeze(1).to(images.device), images[other], images)
    return mixed, torch.lerp(soft[other], soft, share.view(B, 1))


AUGMENTATIONS: Registry[tuple[Tensor, Tensor]] = Registry(
    "augmentation",
    {
        "flip": flip,
        "shift": shift,
        "resized_crop": resized_crop,
        "affine": affine,
        "colour": colour,
        "erase": erase,
        "mixup": mixup,
        "cutmix": cutmix,
    },
)

OFFERED = ("images", "target", "generator", "num_classes")
"""Arguments of an augmentation that the loader supplies."""


def augmenter(
    picks: Sequence[Pick], num_classes: int, seed: int
) -> Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]:
    """A function (images, target, step) that applies the augmentations in their order.

    Args:
        picks: the augmentations.
        num_classes: K.
        seed: of the training; each augmentation has its own stream at each step.
    """
    bound = []
    for pick in picks:
        function = AUGMENTATIONS.bind(pick, OFFERED)
        if "num_classes" in AUGMENTATIONS.parameters(pick.name):
            function = AUGMENTATIONS.bind(pick.replace(num_classes=num_classes), OFFERED[:3])
        bound.append((pick.name, function))

    def apply(images: Tensor, target: Tensor, step: int) -> tuple[Tensor, Tensor]:
        for place, (name, function) in enumerate(bound):
            draw = named_generator(seed, "augmentation", place, name, step)
            images, target = function(images, target, draw)
        return images, target

    return apply
