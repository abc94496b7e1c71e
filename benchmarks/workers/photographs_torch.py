"""Published weights in plain PyTorch, as a careful person uses them, by the clock.

"last" computes the features of each image and its mirror image and fits scikit-learn's logistic
regression, its C the best of five on the validation split. "all" goes on from that layer: AdamW and
one cycle over all layers until the time is over, mirrored images, normalisations held.
"""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from protocol import argument, say
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional

from striate.networks import load_pretrained

MEAN, DEVIATION = 127 / 255, 128 / 255
BATCH = 32
WARM_SHARE = 0.2  # of the time, in which the rate rises


def decoded(file: tuple[str, int]) -> np.ndarray:
    """The centred square of a picture, RGB, at a size; uint8 (S, S, 3)."""
    path, size = file
    image = Image.open(path).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    return np.asarray(square.resize((size, size), Image.Resampling.BICUBIC))


def inputs(images: Tensor) -> Tensor:
    """Normalised images (B, 3, S, S) of uint8 (B, S, S, 3), channels last in memory."""
    x = (images.permute(0, 3, 1, 2).float() / 255 - MEAN) / DEVIATION
    return x.contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def outputs(network: nn.Module, images: Tensor) -> Tensor:
    """The network's outputs (N, 2, ...) for images and their mirror images."""
    views = [
        torch.stack([network(inputs(part)), network(inputs(part.flip(2)))], dim=1)
        for part in torch.split(images, BATCH)
    ]
    return torch.cat(views)


def fitted(rows: np.ndarray, labels: np.ndarray, held: np.ndarray, truth: np.ndarray) -> Any:
    """The logistic regression that errs least on held-out images."""
    best: tuple[float, Any] = (2.0, None)
    x, y = rows.reshape(-1, rows.shape[-1]), np.repeat(labels, rows.shape[1])
    for C in (1e-4, 1e-3, 1e-2, 1e-1, 1.0):
        model = LogisticRegression(C=C, max_iter=300).fit(x, y)
        shares = model.predict_proba(held.reshape(-1, held.shape[-1]))
        wrong = shares.reshape(*held.shape[:2], -1).mean(1).argmax(1) != truth
        best = min(best, (float(wrong.mean()), model), key=lambda pair: pair[0])
    return best[1]


def main() -> None:
    job = argument()
    began = time.perf_counter()  # imports are not counted, decoding is
    threads = os.cpu_count() or 1
    torch.set_num_threads(threads)
    torch.manual_seed(job["seed"])
    folder, splits = Path(job["folder"]), {}
    with ProcessPoolExecutor(threads) as pool:
        for name in ("train", "validation"):
            files = [(str(folder / path), job["size"]) for path, _ in job["files"][name]]
            splits[name] = torch.from_numpy(np.stack(list(pool.map(decoded, files, chunksize=32))))
    labels = {k: np.array([label for _, label in files]) for k, files in job["files"].items()}
    network: Any = load_pretrained("efficientnet_lite0", num_classes=job["num_classes"])
    network.to(memory_format=torch.channels_last)
    head = network.head
    network.head = nn.Identity()
    rows, held = (outputs(network, splits[name]).numpy() for name in ("train", "validation"))
    centre, scale = rows.mean((0, 1)), rows.std()
    model = fitted((rows - centre) / scale, labels["train"], (held - centre) / scale,
                   labels["validation"])  # fmt: skip
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(model.coef_ / scale))
        head.bias.copy_(torch.from_numpy(model.intercept_ - model.coef_ @ (centre / scale)))
    network.head = head
    steps, truth = 0, torch.from_numpy(labels["train"])
    if job["mode"] == "all":
        optimiser = torch.optim.AdamW(network.parameters(), job["rate"], fused=True)
        first = time.perf_counter() - began
        order: list[int] = []
        while (used := time.perf_counter() - began) < job["seconds"]:
            share = (used - first) / (job["seconds"] - first)
            if len(order) < BATCH:
                order += torch.randperm(len(truth)).tolist()
            index = torch.tensor([order.pop(0) for _ in range(BATCH)])
            x = inputs(splits["train"][index])
            x = x.flip(3) if torch.rand(()) < 0.5 else x
            fall = max(0.0, (share - WARM_SHARE) / (1 - WARM_SHARE))
            for group in optimiser.param_groups:
                group["lr"] = job["rate"] * min(1.0, share / WARM_SHARE) * 0.5
                group["lr"] *= 1 + float(np.cos(np.pi * fall))
            loss: Any = functional.cross_entropy(network(x), truth[index])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            steps += 1
    seconds = time.perf_counter() - began
    files = [(str(folder / path), job["size"]) for path, _ in job["files"]["test"]]
    splits["test"] = torch.from_numpy(np.stack([decoded(file) for file in files]))
    network.eval()
    errors = {
        name: float(
            (
                outputs(network, splits[name]).softmax(2).mean(1).argmax(1).numpy() != labels[name]
            ).mean()
        )
        for name in ("validation", "test")
    }
    say(steps=steps, seconds=seconds, **errors)


if __name__ == "__main__":
    main()
