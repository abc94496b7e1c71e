"""How many planted copies and flipped labels the inspection finds, and how many others it names.

    python benchmarks/planted.py DATA... [--only copies] [--most 3000] [--seeds 3] [--out planted]

From each set a part is drawn. Copies of each kind are made of some of its pictures, at their own
size, and added; then all are compared. Precision counts a pair as right if it was planted, or if
it joins two pictures of the original part that were paired before anything was planted: those are
the set's own copies, which a person has to judge. Labels: a share is changed, either to any other
class alike or to the one that the class is most often taken for; each image is answered out of
fold. Labels that are wrong in the set itself count against the list. Small parts of a few classes
are drawn many times. Counts are added up over all seeds; intervals are Wilson's.

Sets that the file already holds and that are not named keep their results.
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
from striate.data.decode import THUMBNAIL, fit_image
from striate.data.near_duplicates import find_pairs
from striate.data.picture import BrokenImage, open_image
from striate.evaluation import wilson
from striate.inspection.feature import features
from striate.inspection.fold import OutOfFold, out_of_fold
from striate.inspection.label_error import suspects
from striate.inspection.scan import GREY


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


def described(pictures: list[Image.Image]) -> tuple[np.ndarray, np.ndarray]:
    """What the features are computed from: thumbnails, and larger grey pictures."""
    grey = [fit_image(picture, GREY)[..., 0] for picture in pictures]
    return np.stack([small(picture) for picture in pictures]), np.stack(grey)


def plant_flips(
    inputs: tuple[np.ndarray, np.ndarray],
    labels: np.ndarray,
    shares: list[float],
    draw: np.random.Generator,
) -> list[dict[str, Any]]:
    """What is suspected without planted flips, with each share of them, and with likely ones."""
    num_classes = int(labels.max()) + 1
    cpu = time.process_time()
    computed = features(*inputs, np.arange(len(labels))).kernel
    cpu = time.process_time() - cpu
    folds = draw.integers(0, 5, len(labels))
    clean = out_of_fold(computed, labels, folds, num_classes)
    confused = np.zeros((num_classes, num_classes))
    np.add.at(confused, (labels, clean.probabilities.argmax(1)), 1)
    np.fill_diagonal(confused, 0)
    rows = []
    for share, to in [(0.0, "any"), *((share, "any") for share in shares), (0.05, "likely")]:
        flipped = draw.random(len(labels)) < share
        moved = (labels + draw.integers(1, num_classes, len(labels))) % num_classes
        given = np.where(flipped, moved if to == "any" else confused.argmax(1)[labels], labels)
        start = time.process_time()
        answered = out_of_fold(computed, given, folds, num_classes) if share else clean
        row = judged(answered, given, flipped)
        spent = cpu + time.process_time() - start
        rows.append({"to": to, "share": share, **row, "cpu_seconds": spent})
    return rows


def judged(answered: OutOfFold, given: np.ndarray, flipped: np.ndarray) -> dict[str, Any]:
    """Counts of what is listed, of what was changed, and of both; the list's beginning."""
    named = suspects(answered.probabilities, given)
    every = suspects(answered.probabilities, given, least=0.0)
    num, ranked = int(flipped.sum()), flipped[every.items]
    return {
        "images": len(given),
        "flipped": num,
        "errors": round(answered.error * len(given)),
        "listed": len(named.items),
        "expected": named.expected,
        "right": int(flipped[named.items].sum()),
        "confident_listed": every.num_confident,
        "confident_right": int(flipped[every.items[every.confident]].sum()),
        "right_among_first": {
            str(part): [int(ranked[: max(1, round(part * num))].sum()), max(1, round(part * num))]
            for part in (0.1, 0.5, 1.0)
        },
    }


def plant_in_small(
    inputs: tuple[np.ndarray, np.ndarray], labels: np.ndarray, times: int, draw: np.random.Generator
) -> list[dict[str, Any]]:
    """The same among 30 to 200 images of a few classes of unequal size, drawn many times."""
    rows = []
    for num, num_classes in ((30, 2), (60, 3), (200, 10)):
        present = np.flatnonzero(np.bincount(labels) >= 8)
        if len(present) < num_classes:
            continue
        drawn_rows = []
        for _ in range(times):
            classes = draw.permutation(present)[:num_classes]
            counts = np.maximum(7, num * draw.dirichlet(np.full(num_classes, 5.0))).astype(int)
            chosen = np.concatenate(
                [
                    draw.permutation(np.flatnonzero(labels == of))[:count]
                    for of, count in zip(classes, counts, strict=True)
                ]
            )
            own = np.searchsorted(np.sort(classes), labels[chosen])
            flipped = draw.random(len(own)) < 0.05
            # One at least.
            flipped[draw.integers(len(own))] = True
            moved = (own + draw.integers(1, num_classes, len(own))) % num_classes
            given = np.where(flipped, moved, own)
            computed = features(*inputs, chosen).kernel
            folds = draw.integers(0, 5, len(own))
            answered = out_of_fold(computed, given, folds, num_classes)
            drawn_rows.append(judged(answered, given, flipped))
        rows.append({"classes": num_classes, "about": num, **summed(drawn_rows)})
    return rows


def summed(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts of several draws, added up."""
    firsts = {
        part: np.sum([row["right_among_first"][part] for row in rows], 0).tolist()
        for part in rows[0]["right_among_first"]
    }
    counts = {key: added(rows, key) for key in rows[0] if key != "right_among_first"}
    return {"draws": len(rows), **counts, "right_among_first": firsts}


def ranged(share: dict[str, Any]) -> str:
    """A share in per cent with its interval."""
    value, low, high = (100 * share[key] for key in ("value", "low", "high"))
    return f"{value:.1f} % [{low:.1f}, {high:.1f}]"


def share_of(part: int, whole: int) -> str:
    return ranged(wilson(part, whole).to_json()) if whole else "-"


def added(rows: list[dict[str, Any]], key: str) -> Any:
    return sum(row[key] for row in rows)


def copies_table(sets: dict[str, Any]) -> list[str]:
    lines = ["| set | kind | found | recall |", "|---|---|---|---|"]
    for name, result in sets.items():
        of_seeds = result.get("copies", [])
        for kind in of_seeds[0]["kinds"] if of_seeds else ():
            rows = [each["kinds"][kind] for each in of_seeds]
            found, planted = added(rows, "found"), added(rows, "planted")
            lines.append(f"| {name} | {kind} | {found} of {planted} | {share_of(found, planted)} |")
    lines += [
        "",
        "| set | images, each seed | pairs named | wrong | precision | its own pairs | threshold |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, result in sets.items():
        if rows := result.get("copies", []):
            right, wrong = added(rows, "right"), added(rows, "wrong")
            limits = ", ".join(f"{row['threshold']:.3f}" for row in rows)
            lines.append(
                f"| {name} | {rows[0]['images']:,} | {right + wrong:,} | {wrong} | "
                f"{share_of(right, right + wrong)} | {added(rows, 'own_pairs')} | {limits} |"
            )
    return lines


def flips_table(sets: dict[str, Any]) -> list[str]:
    lines = [
        "| set | images, draws | changed | the classifier errs | listed | expected wrong | changed "
        "among them | precision | recall | first 10 / 50 / 100 % of so many | confident learning "
        "alone: listed, precision, recall |",
        "|" + "---|" * 11,
    ]
    for name, result in sets.items():
        groups: dict[str, list[dict[str, Any]]] = {}
        for row in result.get("flips", []):
            groups.setdefault(f"{100 * row['share']:g} % to {row['to']}", []).append(row)
        for row in result.get("small", []):
            groups.setdefault(f"5 %, {row['classes']} classes", []).append(row)
        lines += [flips_line(name, told, rows) for told, rows in groups.items()]
    return lines


def flips_line(name: str, told: str, rows: list[dict[str, Any]]) -> str:
    images, flipped, listed, right, alone, alone_right = (
        added(rows, key)
        for key in (
            "images",
            "flipped",
            "listed",
            "right",
            "confident_listed",
            "confident_right",
        )
    )
    draws = sum(row.get("draws", 1) for row in rows)
    firsts = []
    for part in ("0.1", "0.5", "1.0"):
        got, of = np.sum([row["right_among_first"][part] for row in rows], 0).tolist()
        firsts.append(f"{100 * got / of:.0f}")
    return (
        f"| {name} | {images // draws:,} × {draws} | {flipped} ({told}) | "
        f"{100 * added(rows, 'errors') / images:.1f} % | {listed} | "
        f"{sum(row['expected'] for row in rows):.0f} | {right} | {share_of(right, listed)} | "
        f"{share_of(right, flipped)} | {' / '.join(firsts) if flipped else '-'} | "
        f"{alone}, {share_of(alone_right, alone)}, {share_of(alone_right, flipped)} |"
    )


def planted(path: str, options: argparse.Namespace) -> dict[str, Any]:
    """All that was planted in one set, over all seeds."""
    results: dict[str, Any] = {"first_seed": options.seed, "seeds": options.seeds}
    for seed in range(options.seed, options.seed + options.seeds):
        draw = np.random.default_rng(seed)
        pictures, labels = drawn(path, options.most, draw)
        if options.only in (None, "copies"):
            results.setdefault("copies", []).append(plant_copies(pictures, options.copies, draw))
        if options.only in (None, "flips"):
            inputs = described(pictures)
            results.setdefault("flips", []).extend(plant_flips(inputs, labels, options.flips, draw))
            results.setdefault("small", []).extend(
                plant_in_small(inputs, labels, options.small, draw)
            )
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+")
    parser.add_argument("--only", choices=("copies", "flips"))
    parser.add_argument("--copies", type=int, default=300, help="of each kind")
    parser.add_argument("--most", type=int, default=3_000, help="images of each set")
    parser.add_argument(
        "--flips", type=float, nargs="*", default=[0.01, 0.05], help="shares of labels changed"
    )
    parser.add_argument("--small", type=int, default=10, help="small parts of each kind and seed")
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("planted"))
    options = parser.parse_args()
    out = options.out.with_suffix(".json")
    results: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {"sets": {}}
    results["machine"] = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    results["versions"] = {"torch": torch.__version__, "numpy": np.__version__}
    for path in options.data:
        print(path, flush=True)
        name = Path(path).stem
        results["sets"][name] = {**results["sets"].get(name, {}), **planted(path, options)}
        out.write_text(json.dumps(results, indent=1))
        sets = results["sets"]
        options.out.with_suffix(".md").write_text(
            "\n".join([*copies_table(sets), "", *flips_table(sets)]) + "\n"
        )


if __name__ == "__main__":
    main()
