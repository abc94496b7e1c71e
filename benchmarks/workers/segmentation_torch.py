"""A U-Net for masks in plain PyTorch, as a careful person writes it: trained by the clock."""

import itertools
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from protocol import argument, say
from torch import Tensor, nn
from torch.nn import functional

# Seconds of validation and test are not the training's, as in Striate's clock those of the report.
WARM_SHARE = 0.2  # of the time, in which the rate rises


class UNet(nn.Module):
    """The network of Striate's `unet` in 2-D, padded, for images whose sides its stride divides."""

    def __init__(self, num_classes: int, width: int, depth: int, stem: int = 1) -> None:
        super().__init__()
        widths = [width * 2**stage for stage in range(depth + 1)]
        above = width if stem > 1 else 3
        self.stem = nn.Conv2d(3, above, stem, stem) if stem > 1 else nn.Identity()
        pairs = zip([above, *widths], widths, strict=False)
        self.encoder = nn.ModuleList(unit(wide, out) for wide, out in pairs)
        falling = widths[::-1]
        steps = list(itertools.pairwise(falling))
        self.up = nn.ModuleList(nn.ConvTranspose2d(wide, out, 2, 2) for wide, out in steps)
        self.decoder = nn.ModuleList(unit(2 * out, out) for _, out in steps)
        head = nn.ConvTranspose2d if stem > 1 else nn.Conv2d
        self.head = head(width, num_classes, stem, stem)

    def forward(self, x: Tensor) -> Tensor:
        x, maps = self.stem(x), []
        for stage in self.encoder[:-1]:
            maps.append(stage(x))
            x = functional.max_pool2d(maps[-1], 2)
        x = self.encoder[-1](x)
        for up, stage in zip(self.up, self.decoder, strict=True):
            x = stage(torch.cat([maps.pop(), up(x)], dim=1))
        scores: Tensor = self.head(x)
        return scores


def unit(wide: int, out: int) -> nn.Sequential:
    """Two 3×3 convolutions with batch normalisation and ReLU."""
    layers: list[nn.Module] = []
    for channels in (wide, out):
        layers += [nn.Conv2d(channels, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(True)]
        nn.init.kaiming_normal_(layers[-3].weight)  # type: ignore[arg-type]
    return nn.Sequential(*layers)


class Split:
    """The decoded images and masks of one split."""

    def __init__(self, folder: Path, files: list[list[str]]) -> None:
        opened = [[Image.open(folder / name) for name in pair] for pair in files]
        self.images = torch.from_numpy(np.stack([image.convert("RGB") for image, _ in opened]))
        self.masks = torch.from_numpy(np.stack([np.asarray(mask) for _, mask in opened]))

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W) in [0, 1] and masks (B, H, W)."""
        return self.images[index].permute(0, 3, 1, 2).float() / 255, self.masks[index].long()


def augmented(x: Tensor, y: Tensor, crop: dict[str, Any], void: int) -> tuple[Tensor, Tensor]:
    """Windows of images scaled, mirrored and recoloured at random; masks moved with them."""
    B, _, H, W = x.shape
    height, width = crop["size"]
    low, high = np.log([crop["smallest"], crop["largest"]])
    scale = torch.empty(B).uniform_(low, high).exp()
    shares = torch.stack([width / (scale * W), height / (scale * H)], dim=1)
    matrix = torch.zeros(B, 2, 3)
    matrix[:, 0, 0] = shares[:, 0] * (2 * torch.randint(0, 2, (B,)) - 1)
    matrix[:, 1, 1] = shares[:, 1]
    matrix[:, :, 2] = torch.empty(B, 2).uniform_(-1, 1) * (1 - shares).abs()
    grid = functional.affine_grid(matrix, [B, 1, height, width], align_corners=False)
    how: dict[str, Any] = {"align_corners": False}
    x = functional.grid_sample(x, grid, padding_mode="reflection", **how)
    index = functional.grid_sample(y[:, None].float() + 1, grid, mode="nearest", **how)[:, 0].long()
    factors = torch.empty(3, B, 1, 1, 1).uniform_(0.8, 1.2)
    x = x * factors[0]
    x = torch.lerp(x.mean((1, 2, 3), keepdim=True).expand_as(x), x, factors[1])
    x = torch.lerp(x.mean(1, keepdim=True).expand_as(x), x, factors[2]).clamp(0, 1)
    return x, torch.where(index == 0, void, index - 1)


def loss_of(scores: Tensor, target: Tensor, weights: Tensor, void: int) -> Tensor:
    """The mean of cross-entropy, balanced by median frequency, and of the soft Dice loss."""
    pixels = functional.cross_entropy(scores, target, weights, ignore_index=void)
    valid = (target != void)[:, None]
    truth = functional.one_hot(target.where(target != void, 0), scores.shape[1]).movedim(-1, 1)
    truth, share = truth * valid, scores.softmax(1) * valid
    sums = [(value.sum((0, 2, 3))) for value in (share * truth, share, truth)]
    regions = 1 - (2 * sums[0] + 1) / (sums[1] + sums[2] + 1)
    return (pixels + regions.mean()) / 2


def balance(masks: Tensor, num_classes: int) -> Tensor:
    """Weights median(f) / f, f the share of a class in the pixels of the images that have it."""
    counts = torch.stack([torch.bincount(m.flatten(), minlength=256) for m in masks])
    counts = counts[:, :num_classes].double()
    present = (counts.sum(1, keepdim=True) * (counts > 0)).sum(0)
    share = counts.sum(0) / present.clamp_min(1)
    return torch.where(share > 0, share[share > 0].median() / share, 0).float()


def mean_iou(network: nn.Module, split: Split, normalise: Any, void: int, stride: int) -> float:
    """Mean IoU of one confusion matrix of a split; scores are averaged over both mirror images."""
    total: Any = 0
    for index in torch.arange(len(split.images)).split(4):
        x, y = split.batch(index)
        height, width = x.shape[2:]
        ends = (0, -width % stride, 0, -height % stride)
        with torch.no_grad():
            views = [
                network(functional.pad(normalise(view), ends, mode="replicate"))[
                    :, :, :height, :width
                ].softmax(1)
                for view in (x, x.flip(3))
            ]
        predicted = (views[0] + views[1].flip(3)).argmax(1)
        K = views[0].shape[1]
        known = y != void
        total = total + torch.bincount(y[known] * K + predicted[known], minlength=K * K)
    matrix = total.view(K, K).double()
    both = matrix.diagonal()
    either = matrix.sum(0) + matrix.sum(1) - both
    return float((both / either)[either > 0].mean())


def main() -> None:
    job = argument()
    torch.set_num_threads(os.cpu_count() or 1)
    torch.manual_seed(job["seed"])
    folder, void = Path(job["folder"]), job["void"]
    train, validation, test = (
        Split(folder, job["files"][name]) for name in ("train", "validation", "test")
    )
    began = time.perf_counter()  # decoding is not counted here, as it is for Striate
    for split in (train, validation, test):
        split.masks[split.masks >= job["num_classes"]] = void
    values = train.images[::8].double() / 255
    mean, std = (t.float().view(3, 1, 1) for t in (values.mean((0, 1, 2)), values.std((0, 1, 2))))
    del values

    def normalise(x: Tensor) -> Tensor:
        return ((x - mean) / std).contiguous(memory_format=torch.channels_last)

    how = {name: value for name, value in job["network"].items() if name != "name"}
    network = UNet(job["num_classes"], **how).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(network.parameters(), job["rate"], weight_decay=0.01, fused=True)
    weights = balance(train.masks, job["num_classes"]) ** job["balance"]
    order: list[int] = []
    steps = 0
    while (share := (time.perf_counter() - began) / job["seconds"]) < 1:
        if len(order) < job["batch_size"]:
            order += torch.randperm(len(train.images)).tolist()
        index = torch.tensor([order.pop(0) for _ in range(job["batch_size"])])
        x, y = augmented(*train.batch(index), job["crop"], void)
        rise = min(share / WARM_SHARE, 1.0)
        fall = max(0.0, (share - WARM_SHARE) / (1 - WARM_SHARE))
        for group in optimiser.param_groups:
            group["lr"] = job["rate"] * rise * 0.5 * (1 + float(np.cos(np.pi * fall)))
        loss = loss_of(network(normalise(x)), y, weights, void)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        steps += 1
    network.eval()
    stride = how.get("stem", 1) * 2 ** how["depth"]
    figures = [mean_iou(network, split, normalise, void, stride) for split in (validation, test)]
    say(steps=steps, validation=figures[0], test=figures[1])


if __name__ == "__main__":
    main()
