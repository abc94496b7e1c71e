"""How many planted copies and flipped labels the inspection finds, and how many others it names.

    python benchmarks/planted.py DATA... [--copies 300] [--most 12000] [--out planted]

From each set a part is drawn. Copies of each kind are made of some of its pictures, at their own
size, and added; then all are compared. Precision counts a pair as right if it was planted, or if
it joins two pictures of the original part that were paired before anything was planted: those are
the set's own copies, which a person has to judge. Labels: a share is changed, either to any other
class alike or to the one that the class is most often taken for; each image is answered out of
fold. Labels that are wrong in the set itself count against the list. Intervals are Wilson's.
"""

import argparse
import io
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from striate.data import open_source
from striate.data.decode import THUMBNAIL, BrokenImage, fit_image, open_image
from striate.data.likeness import find_pairs
from striate.evaluation import wilson
from striate.inspection.feature import features
from striate.inspection.fold import out_of_fold
from striate.inspection.label_error import suspects
from striate.inspection.look import GREY


def kinds(draw: np.random.Generator) -> dict[str, Callable[[Image.Image], Image.Image]]:
    """What is done to a picture to make a copy of it."""

    def resize(image: Image.Image) -> Image.Image:
        factor = draw.uniform(0.5, 0.9)
        size = [max(8, round(factor * length)) for length in image.size]
        return image.resize((size[0], size[1]), Image.Resampling.BICUBIC)

    def jpeg(image: Image.Image) -> Image.Image:
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=int(draw.integers(40, 91)))
        return Image.open(stream).convert(image.mode)

    def crop(image: Image.Image) -> Image.Image:
        width, height = image.size
        share = draw.uniform(0.9, 0.95)
        w, h = round(share * width), round(share * height)
        x, y = int(draw.integers(0, width - w + 1)), int(draw.integers(0, height - h + 1))
        return image.crop((x, y, x + w, y + h))

    def brightness(image: Image.Image) -> Image.Image:
        factor = draw.choice([0.75, 0.85, 1.15, 1.25])
        return image.point(lambda level: min(255, round(level * factor)))

    return {
        "resize to 50-90 %": resize,
        "JPEG quality 40-90": jpeg,
        "crop of 5-10 %": crop,
        "brightness ±15-25 %": brightness,
        "mirror image": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    }


def small(image: Image.Image) -> np.ndarray:
    return fit_image(image, THUMBNAIL)


def drawn(path: str, most: int, draw: np.random.Generator) -> tuple[list[Image.Image], np.ndarray]:
    """Pictures of a part of a set, and their labels."""
    source = open_source(path)
    source.fetch()
    chosen = draw.choice(len(source.items), min(most, len(source.items)), replace=False)
    pictures, labels = [], []
    for item, content in source.stream([source.items[i] for i in np.sort(chosen)]):
        if isinstance(content, OSError):
            continue
        try:
            pictures.append(open_image(content).copy())
        except BrokenImage:
            continue
        labels.append(item.label)
    return pictures, np.array(labels, dtype=np.int64)


def plant_copies(
    pictures: list[Image.Image], num: int, draw: np.random.Generator
) -> dict[str, Any]:
    own = np.stack([small(p) for p in pictures])
    _, unique = np.unique(own.reshape(len(own), -1), axis=0, return_index=True)
    unique = np.sort(unique)
    own, pictures = own[unique], [pictures[i] for i in unique]
    before = find_pairs(own, flips=True)
    own_pairs = set(zip(before.first.tolist(), before.second.tolist(), strict=True))
    copies, parents, of_kind = [], [], []
    for kind, make in kinds(draw).items():
        for i in draw.choice(len(own), min(num, len(own) // 10), replace=False).tolist():
            copies.append(small(make(pictures[i])))
            parents.append(i)
            of_kind.append(kind)
    start, cpu = time.perf_counter(), time.process_time()
    found = find_pairs(np.concatenate([own, np.stack(copies)]), flips=True)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    whose = [*range(len(own)), *parents]
    right = wrong = 0
    hit = set()
    for a, b in zip(found.first.tolist(), found.second.tolist(), strict=True):
        one, other = sorted((whose[a], whose[b]))
        hit.add((a, b))
        if one == other or (one, other) in own_pairs:
            right += 1
        else:
            wrong += 1
    rows = {}
    for kind in dict.fromkeys(of_kind):
        places = [k for k, of in enumerate(of_kind) if of == kind]
        got = sum((parents[k], len(own) + k) in hit for k in places)
        rows[kind] = {"planted": len(places), "found": got, "recall": got / len(places)}
    return {
        "images": len(own) + len(copies),
        "kinds": rows,
        "right": right,
        "wrong": wrong,
        "precision": right / max(1, right + wrong),
        "own_pairs": len(own_pairs),
        "threshold": found.threshold,
        "seconds": seconds,
        "cpu_seconds": cpu,
    }


def plant_flips(
    pictures: list[Image.Image], labels: np.ndarray, shares: list[float], draw: np.random.Generator
) -> list[dict[str, Any]]:
    """What is suspected without planted flips, with each share of them, and with likely ones."""
    num_classes = int(labels.max()) + 1
    cpu = time.process_time()
    thumbnails = np.stack([small(p) for p in pictures])
    grey = np.stack([fit_image(p, GREY)[..., 0] for p in pictures])
    computed = features(thumbnails, grey, np.arange(len(pictures)))
    cpu = time.process_time() - cpu
    folds = draw.integers(0, 5, len(labels))
    clean = out_of_fold(computed, labels, folds, num_classes)
    confused = np.zeros((num_classes, num_classes))
    np.add.at(confused, (labels, clean.scores.argmax(1)), 1)
    np.fill_diagonal(confused, 0)
    rows = []
    for share, to in [(0.0, "any"), *((share, "any") for share in shares), (0.05, "likely")]:
        flipped = draw.random(len(labels)) < share
        moved = (labels + draw.integers(1, num_classes, len(labels))) % num_classes
        given = np.where(flipped, moved if to == "any" else confused.argmax(1)[labels], labels)
        start = time.process_time()
        answered = out_of_fold(computed, given, folds, num_classes)
        ranked = suspects(answered.scores, given, least=0.0)
        named = suspects(answered.scores, given)
        num, right = int(flipped.sum()), flipped[ranked.items]
        listed = len(named.items)
        rows.append(
            {
                "images": len(labels),
                "to": to,
                "flipped": num,
                "error": answered.error,
                "share": named.share,
                "listed": listed,
                "expected": named.expected,
                "right": int(right[:listed].sum()),
                "recall": wilson(int(right[:listed].sum()), num).to_json() if num else None,
                "precision": wilson(int(right[:listed].sum()), listed).to_json()
                if listed
                else None,
                "precision_of_first": {
                    str(part): float(right[: max(1, round(part * num))].mean())
                    for part in (0.1, 0.5, 1.0)
                },
                "joint": joint(answered.scores, given, flipped),
                "cpu_seconds": cpu + time.process_time() - start,
            }
        )
    return rows


def joint(scores: np.ndarray, given: np.ndarray, flipped: np.ndarray) -> dict[str, int]:
    """What confident learning names on the same answers: the confident joint off its diagonal."""
    sharp = min(
        np.geomspace(0.3, 100, 26),
        key=lambda by: -log_softmax(by * scores)[range(len(given)), given].sum(),
    )
    p = np.exp(log_softmax(sharp * scores))
    own = p[np.arange(len(given)), given]
    num_classes = p.shape[1]
    counts = np.bincount(given, minlength=num_classes)
    sums = np.bincount(given, weights=own, minlength=num_classes)
    reached = np.where(p >= np.where(counts > 0, sums / np.maximum(counts, 1), np.inf), p, -1.0)
    named = (reached.max(1) >= 0) & (reached.argmax(1) != given)
    return {"listed": int(named.sum()), "right": int(flipped[named].sum())}


def log_softmax(scores: np.ndarray) -> np.ndarray:
    shifted = scores.astype(np.float64) - scores.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def ranged(share: dict[str, Any]) -> str:
    """A share in per cent with its interval."""
    value, low, high = (100 * share[key] for key in ("value", "low", "high"))
    return f"{value:.1f} % [{low:.1f}, {high:.1f}]"


def markdown(results: dict[str, Any]) -> str:
    lines = ["| set | kind | planted | found | recall |", "|---|---|---|---|---|"]
    for name, result in results["sets"].items():
        for kind, row in result["copies"]["kinds"].items():
            told = ranged(wilson(row["found"], row["planted"]).to_json())
            lines.append(f"| {name} | {kind} | {row['planted']} | {row['found']} | {told} |")
    lines += [
        "",
        "| set | images | pairs named | right | wrong | precision | pairs of its own |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, result in results["sets"].items():
        c = result["copies"]
        named = c["right"] + c["wrong"]
        told = ranged(wilson(c["right"], named).to_json()) if named else "-"
        lines.append(
            f"| {name} | {c['images']:,} | {named} | {c['right']} | {c['wrong']} | "
            f"{told} | {c['own_pairs']} |"
        )
    lines += [
        "",
        "| set | images | flipped | the classifier errs | listed | expected to be wrong | flipped "
        "among them | precision | recall | first 10 % / 50 % / 100 % of so many |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, result in results["sets"].items():
        for f in result["flips"]:
            firsts = " / ".join(f"{100 * value:.0f}" for value in f["precision_of_first"].values())
            precision = ranged(f["precision"]) if f["precision"] else "-"
            recall = ranged(f["recall"]) if f["recall"] else "-"
            to = " to the likely class" * (f["to"] == "likely")
            lines.append(
                f"| {name} | {f['images']:,} | {f['flipped']}{to} | {100 * f['error']:.1f} % | "
                f"{f['listed']} | {f['expected']:.0f} | {f['right']} | {precision} | {recall} | "
                f"{firsts if f['flipped'] else '-'} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+")
    parser.add_argument("--copies", type=int, default=300, help="of each kind")
    parser.add_argument("--most", type=int, default=12_000, help="images of each set")
    parser.add_argument(
        "--flips", type=float, nargs="*", default=[0.01, 0.05, 0.1], help="shares of labels changed"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("planted"))
    asked = parser.parse_args()
    results: dict[str, Any] = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "seed": asked.seed,
        "sets": {},
    }
    for path in asked.data:
        print(path, flush=True)
        draw = np.random.default_rng(asked.seed)
        pictures, labels = drawn(path, asked.most, draw)
        name = Path(path).stem
        results["sets"][name] = {
            "copies": plant_copies(pictures, asked.copies, draw),
            "flips": plant_flips(pictures, labels, asked.flips, draw),
        }
        asked.out.with_suffix(".json").write_text(json.dumps(results, indent=2))
        asked.out.with_suffix(".md").write_text(markdown(results))
    print(markdown(results))


if __name__ == "__main__":
    main()
