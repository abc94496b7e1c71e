"""Do maps of evidence lie on the object, and do they show what was learned?

    python benchmarks/explanations.py photographs/ --pretrained efficientnet_lite0 --count 200

composes mosaics of four photographs in the corners of an image, away from its centre, asks for the
class of one of them, and plays the pointing game: does the largest value of each map lie on that
photograph, within 15 pixels? Beside each figure stand two yardsticks: a map of noise, and one that
always points at the centre. Then the sanity check of each kind of map on some of the mosaics. The
photographs' names begin with the synset of their class, of which all 1,000 must be there.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from striate.networks import PRETRAINED
from striate.networks.pretrained import fill, locate_weights, published_network
from striate.seeing import (
    deconvnet,
    grad_cam,
    gradient,
    guided_backpropagation,
    integrated_gradients,
    occlusion,
    pointing,
)
from striate.seeing.sanity import check
from striate.seeing.subject import last_spatial_layer

SIDE, GAP = 94, 4
"""Sides of a photograph in a mosaic, and what lies between it and the border, pixels."""
Explain = Callable[[nn.Module, Tensor, Tensor], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--pretrained", default="efficientnet_lite0")
    parser.add_argument("--count", type=int, default=200, help="Mosaics of the pointing game.")
    parser.add_argument("--checked", type=int, default=24, help="Mosaics of the sanity check.")
    arguments = parser.parse_args()
    file = locate_weights(arguments.pretrained)
    network = fill(published_network(PRETRAINED[file.name], 1_000), file).eval()
    form = PRETRAINED[file.name].preparation
    images, targets, masks = mosaics(arguments.photographs, form.input_size[0], arguments.count)
    mean, deviation = (torch.tensor(x).view(3, 1, 1) for x in (form.mean, form.deviation))
    inputs = (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / deviation
    layer = last_spatial_layer(network, (3, *form.input_size)) or ""
    near = torch.from_numpy(masks)
    print(f"{file.name}, {len(inputs)} mosaics of {form.input_size}, maps of {layer}")
    for name, explain in methods(layer).items():
        parts = torch.split(torch.arange(len(inputs)), 20)
        maps = torch.cat([enlarged(explain(network, inputs[i], targets[i]), near) for i in parts])
        played = pointing(maps, near)
        few = slice(0, arguments.checked)
        verdict = check(network, lambda n, e=explain: e(n, inputs[few], targets[few]))
        share, centre = played.share, played.centre
        print(
            f"{name:26} {100 * share.value:5.1f} % [{100 * share.low:.1f}, {100 * share.high:.1f}]"
            f"  chance {100 * played.chance:.1f} %, centre {100 * centre.value:.1f} %"
            f"  sanity {verdict.mean:.2f} [{verdict.low:.2f}, {verdict.high:.2f}]"
            f" {'passes' if verdict.passes else 'does not pass'}",
            flush=True,
        )


def methods(layer: str) -> dict[str, Explain]:
    """Maps (B, h, w) of each kind."""
    return {
        "gradient": lambda n, x, t: gradient(n, x, t).abs().amax(1),
        "guided backpropagation": lambda n, x, t: guided_backpropagation(n, x, t).abs().amax(1),
        "deconvnet": lambda n, x, t: deconvnet(n, x, t).abs().amax(1),
        "Grad-CAM": lambda n, x, t: grad_cam(n, x, t, layer),
        "integrated gradients": lambda n, x, t: integrated_gradients(n, x, t, steps=8).sum(1).abs(),
        "occlusion": lambda n, x, t: occlusion(n, x, t, window=28, stride=28),
        "edges, no network": lambda n, x, t: x.diff(dim=3).abs().amax(1),
    }


def enlarged(maps: Tensor, masks: Tensor) -> Tensor:
    """Maps at the size of the images."""
    size = tuple(masks.shape[1:])
    return nn.functional.interpolate(maps[:, None], size, mode="bilinear")[:, 0]


def mosaics(folder: Path, side: int, count: int) -> tuple[np.ndarray, Tensor, np.ndarray]:
    """Images (N, S, S, 3) uint8 of four photographs, a class of each, and where it lies."""
    paths = sorted(folder.rglob("*.jpg"))
    ranks = {name: rank for rank, name in enumerate(sorted({p.name.split("_")[0] for p in paths}))}
    if len(ranks) != 1_000:
        raise SystemExit(f"{folder} has {len(ranks)} synsets; all 1,000 are needed.")
    draw = np.random.default_rng(0)
    images = np.full((count, side, side, 3), 127, dtype=np.uint8)
    masks = np.zeros((count, side, side), dtype=bool)
    targets = torch.zeros(count, dtype=torch.long)
    corners = [(a, b) for a in (GAP, side - GAP - SIDE) for b in (GAP, side - GAP - SIDE)]
    for number in range(count):
        chosen = draw.choice(len(paths), 4, replace=False)
        asked = int(draw.integers(4))
        for place, (index, (top, left)) in enumerate(zip(chosen, corners, strict=True)):
            picture = Image.open(paths[index]).convert("RGB")
            short = min(picture.size)
            box = [(length - short) // 2 for length in picture.size]
            square = picture.crop((*box, box[0] + short, box[1] + short)).resize((SIDE, SIDE))
            images[number, top : top + SIDE, left : left + SIDE] = np.asarray(square)
            if place == asked:
                masks[number, top : top + SIDE, left : left + SIDE] = True
                targets[number] = ranks[paths[index].name.split("_")[0]]
    return images, targets, masks


if __name__ == "__main__":
    main()
