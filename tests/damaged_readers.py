"""Every reader of files that others wrote: how its files are made whole, and how it reads them."""

import hashlib
import json
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from striate.api.external import measure_files
from striate.api.request import Request
from striate.api.run import Run
from striate.api.study import open_study
from striate.config import DataConfig, RunConfig
from striate.data import ImageSpec, SealedSplit, decode_image, open_source, prepare, survey
from striate.data.cache import list_cache
from striate.data.decode import decode_whole, decode_with_digest
from striate.data.mask_file import read_mask
from striate.data.picture import BrokenImage, read_header
from striate.evaluation import (
    adjusted_reading,
    load_predictions,
    open_test,
    opened,
    openings,
    receipts_of,
    record_result,
    verify,
)
from striate.execution import store
from striate.networks.keymap import published_key
from striate.networks.pretrained import fill, locate_weights, published_network
from striate.networks.weight import PRETRAINED
from striate.networks.weight_file import read_weights
from striate.reading import json_or_none
from striate.recipes import cifar10_airbench
from striate.registry import Pick
from striate.search import Space, read_dimensions
from striate.search.storage import Storage
from striate.settings import checked, parse_assignments
from striate.tasks import TASKS, recognised
from striate.terminal import Reporter
from striate.training.checkpoint import CheckpointStore
from striate.training.events import read_events

RUNS = Path(__file__).parent / "fixtures" / "run_417ab7b"
SPEC = ImageSpec((8, 8), 3)


def nothing(path: Path) -> None:
    """Repair nothing."""


class Reader(NamedTuple):
    """A reader of files."""

    make: Callable[[Path], object]
    """Writes whole files into an empty folder."""
    read: Callable[[Path], object]
    """Reads them all."""
    damaged: tuple[str, ...] = ("*",)
    """Patterns of the files that are damaged."""
    repair: Callable[[Path], None] = nothing
    """Repairs what the reader compares first."""


def pixels(seed: int, *shape: int) -> np.ndarray:
    """Random pixels, uint8."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def make_pictures(folder: Path) -> None:
    colour, grey = Image.fromarray(pixels(0, 9, 11, 3)), Image.fromarray(pixels(1, 9, 11))
    for ending in ("png", "jpg", "gif", "bmp", "tif", "webp", "ppm", "pcx", "tga", "jp2", "ico"):
        colour.save(folder / f"colour.{ending}")
    turned = Image.Exif()
    turned[0x0112] = 6
    colour.save(folder / "turned.jpg", exif=turned)
    colour.quantize(16).save(folder / "palette.png", transparency=3)
    grey.save(folder / "grey.tif", compression="tiff_lzw")
    Image.fromarray(pixels(2, 9, 11).astype(np.uint16) * 257).save(folder / "deep.png")
    colour.convert("RGBA").save(folder / "clear.png")
    colour.save(folder / "moves.gif", save_all=True, append_images=[colour.rotate(180)])


def read_pictures(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        read_header(content)
        decode_image(path, SPEC)
        decode_with_digest(content, SPEC)
        decode_whole(content, SPEC)


def make_masks(folder: Path) -> None:
    ids = pixels(3, 9, 11) % 4
    Image.fromarray(ids).save(folder / "grey.png")
    Image.fromarray(ids * 60).quantize(8).save(folder / "palette.png")
    Image.fromarray(ids.astype(np.uint16) * 300).save(folder / "deep.tif")
    Image.fromarray(pixels(4, 9, 11, 3)).save(folder / "colour.bmp")
    Image.fromarray(ids > 1).save(folder / "bits.png")


def read_masks(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        read_mask(path.read_bytes())


def write_images(folder: Path, names: list[str]) -> None:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(number, 6, 7, 3)).save(folder / name)


CLASSES = [f"{name}/{number}.png" for name in "ab" for number in range(3)]


def make_archive(folder: Path, name: str, form: int = tarfile.USTAR_FORMAT) -> None:
    write_images(folder / "in", CLASSES)
    if name.endswith(".zip"):
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in CLASSES:
                archive.write(folder / "in" / file, file)
    else:
        with tarfile.open(folder / name, "w:gz" if "gz" in name else "w", format=form) as archive:
            for file in CLASSES:
                member = archive.gettarinfo(folder / "in" / file, file)
                member.mtime = 1.5  # which the pax form writes into an extended header
                with open(folder / "in" / file, "rb") as stream:
                    archive.addfile(member, stream)
    shutil.rmtree(folder / "in")


def make_shards(folder: Path) -> None:
    write_images(folder, [f"{number}.png" for number in range(6)])
    for number in range(6):
        (folder / f"{number}.cls").write_text(str(number % 2))
        (folder / f"{number}.json").write_text(json.dumps({"label": number % 2}))
    for shard, ending in enumerate(("cls", "json")):
        with tarfile.open(folder / f"train-{shard}.tar", "w") as archive:
            for number in range(3 * shard, 3 * shard + 3):
                for file in (f"{number}.png", f"{number}.{ending}"):
                    archive.add(folder / file, file)
    for path in (*folder.glob("*.png"), *folder.glob("*.json"), *folder.glob("*.cls")):
        path.unlink()
    (folder / "classes.txt").write_text("cat\ndog\n")
    (folder / "shards.txt").write_text("train-{0..1}.tar\n# remark\n")


def make_lists(folder: Path) -> None:
    names = [f"{number}.png" for number in range(6)]
    write_images(folder, names)
    Image.fromarray(pixels(5, 6, 7) % 2).save(folder / "mask.png")
    for number in range(6):
        shutil.copy(folder / "mask.png", folder / f"mask{number}.png")
    splits = [*["train"] * 4, "val", "test"]
    rows = [f"{name},{'ab'[i % 2]},{splits[i]},g{i}\n" for i, name in enumerate(names)]
    (folder / "classes.csv").write_text("path,label,split,group\n" + "".join(rows))
    rows = [f"{name};{i},5;{i}\n" for i, name in enumerate(names)]
    (folder / "values.csv").write_text("path;age;height\n" + "".join(rows))
    rows = [f'{name},"{["koala", "wet;koala", ""][i % 3]}"\n' for i, name in enumerate(names)]
    (folder / "labels.csv").write_text("path,labels\n" + "".join(rows))
    rows = [f"{name},mask{i}.png\n" for i, name in enumerate(names)]
    (folder / "masks.csv").write_text("path,mask\n" + "".join(rows))
    listed = [{"path": name, "label": "ab"[i % 2]} for i, name in enumerate(names)]
    (folder / "classes.json").write_text(json.dumps(listed))
    listed = [{"path": name, "labels": ["x", "y"][: i % 3]} for i, name in enumerate(names)]
    (folder / "labels.json").write_text(json.dumps(listed))


def make_arrays(folder: Path) -> None:
    images, half = pixels(6, 6, 5, 4, 3), np.arange(6) % 2
    np.savez_compressed(folder / "classes.npz", images=images, labels=half, class_names=["a", "b"])
    np.savez(folder / "keras.npz", x_train=images, y_train=half, x_test=images[:2], y_test=half[:2])
    np.savez(folder / "values.npz", x=images, y=np.linspace(0, 1, 6))
    np.savez(folder / "masks.npz", images=images, labels=images[..., 0] % 3)
    np.savez(folder / "labels.npz", images=images, labels=np.eye(6, 4, dtype=np.uint8))


def make_masked(folder: Path) -> None:
    names = [f"{number}.png" for number in range(4)]
    write_images(folder / "images", names)
    (folder / "masks").mkdir()
    for i, name in enumerate(names):
        Image.fromarray(pixels(i, 6, 7) % 3).save(folder / "masks" / name)
    (folder / "classes.txt").write_text("sky\nroad\ncar\n")


def make_masked_by_json(folder: Path) -> None:
    make_masked(folder)
    (folder / "classes.txt").unlink()
    (folder / "classes.json").write_text(json.dumps({"sky": 0, "road": 1, "car": 2}))


def read_sets(folder: Path) -> None:
    """Read every set of a folder as a training and an inspection do, one after the other."""
    os.environ["STRIATE_CACHE"] = str(folder / ".cache")
    paths = [folder]
    if not any(path.is_dir() for path in folder.iterdir() if path.name != ".cache"):
        known = ("*.csv", "*.json", "*.npz", "set.*", "shards.txt")
        paths = sorted(path for pattern in known for path in folder.glob(pattern))
    for path in paths:
        read_set(path)


def read_set(path: Path) -> None:
    source = open_source(str(path))
    source.fingerprint()
    survey(source)
    claim = recognised(source)
    task = TASKS.build(Pick(claim[0] if claim else "classification"))
    for name, field in task.fields(source).items():
        field.load(source, source.items, SPEC, path.with_name(f"{name}.staging"))
    for _, content in source.stream(source.items):
        if not isinstance(content, OSError):
            try:
                decode_with_digest(content, SPEC)
            except BrokenImage:
                continue


def make_predictions(folder: Path) -> None:
    p = np.random.default_rng(7).dirichlet(np.ones(3), 12)
    rows = [f"{i},{','.join(map(str, row))}\n" for i, row in enumerate(p.tolist())]
    (folder / "table.csv").write_text("id,a,b,c\n" + "".join(rows))
    (folder / "labels.txt").write_text("id;label\n" + "".join(f"{i};a\n" for i in range(12)))
    listed = [
        {"id": i, "probabilities": dict(zip("abc", row, strict=True))}
        for i, row in enumerate(p.tolist())
    ]
    (folder / "list.json").write_text(json.dumps(listed))
    (folder / "lines.jsonl").write_text("".join(json.dumps(row) + "\n" for row in listed))
    np.savez(folder / "arrays.npz", ids=np.arange(12), probabilities=p, class_names=list("abc"))
    (folder / "truth.csv").write_text(
        "id,label\n" + "".join(f"{i},{'abc'[i % 3]}\n" for i in range(12))
    )


def read_predictions(folder: Path) -> None:
    names = ("table.csv", "labels.txt", "list.json", "lines.jsonl", "arrays.npz")
    for name in names:
        measure_files([folder / name], folder / "truth.csv")


def make_weights(folder: Path) -> None:
    state = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2)).state_dict()
    save_file(state, folder / "a.safetensors")
    torch.save(state, folder / "b.pt")
    torch.save({"state_dict": state}, folder / "c.pth", _use_new_zipfile_serialization=False)


def read_all_weights(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        read_weights(path)


def make_published(folder: Path) -> None:
    weights = PRETRAINED["resnet20"]
    state = published_network(weights, 10).state_dict()
    named = {published_key(weights.layout, key): tensor for key, tensor in state.items()}
    save_file(named, folder / "own.safetensors")


def read_published(folder: Path) -> None:
    file = locate_weights(folder / "own.safetensors", "resnet20")
    network = fill(published_network(file.weights, 10), file)
    with torch.no_grad():
        network(torch.zeros(1, 3, 32, 32))


def copy_run(name: str) -> Callable[[Path], object]:
    return lambda folder: shutil.copytree(RUNS / name, folder / "run")


def read_run(folder: Path) -> None:
    run = Run(folder / "run")
    _ = run.validation, run.scaling, run.normalise, run.execution
    load_predictions(run.folder.predictions)
    run.task.held_out(run.folder)
    read_events(run.folder.events)
    receipts_of(run.path)
    assert all(np.isfinite(p.confidence) for p in run.predict(np.zeros((8, 8), np.uint8)))


def with_digest(path: Path) -> None:
    """Write the right digest into a run's record, so that its values are looked at."""
    if path.name != "run.json":
        return
    try:
        record = json.loads(path.read_bytes())
        del record["digest"]
        canonical = json.dumps(record, sort_keys=True, separators=(",", ":"))
    except (ValueError, KeyError, TypeError, RecursionError):
        return
    record["digest"] = hashlib.sha256(canonical.encode()).hexdigest()
    path.write_text(json.dumps(record))


def read_checkpoints(folder: Path) -> None:
    run = Run(folder / "run")
    read_events(run.folder.events)
    CheckpointStore(run.folder.checkpoints).read_newest()


def make_ledger(folder: Path) -> None:
    os.environ["STRIATE_HOME"] = str(folder)
    (folder / "run").mkdir()
    split = SealedSplit("abc123", 8, lambda: None)  # type: ignore[arg-type, return-value]
    for _ in range(3):
        opening = open_test(split, run_hash="f00d", run_folder=folder / "run", version="0.1")
        record_result(opening, {"n": 8, "wrong": 2, "error": 0.25})


def read_ledger(folder: Path) -> None:
    os.environ["STRIATE_HOME"] = str(folder)
    verify("abc123", receipts_of(folder / "run"))
    adjusted_reading(openings("abc123"), opened("abc123"))


def make_config(folder: Path) -> None:
    record = json.loads((RUNS / "lenet5" / "run.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(record["config"]))
    (folder / "words.txt").write_text("optimiser.lr=0.1\ntraining.steps=20\nnetwork.depth=20\n")


def read_config(folder: Path) -> None:
    value = json_or_none((folder / "config.json").read_bytes())
    value = value if isinstance(value, dict) else {}
    words = (folder / "words.txt").read_text("utf-8", "surrogateescape")
    checked(parse_assignments(words.splitlines()))
    _ = RunConfig.from_json(value).hash


def make_study(folder: Path) -> None:
    record = json.loads((RUNS / "lenet5" / "run.json").read_text("utf-8"))
    study = {"asked": {"kind": "seeds", "data": "digits"}, "config": record["config"]}
    study["choices"] = [{"what": "network", "value": "lenet5", "why": "it was named"}]
    (folder / "study.json").write_text(json.dumps(study))


def read_study(folder: Path) -> None:
    open_study("seeds", Request("digits"), folder, Reporter())


SPACE = Space(read_dimensions(("optimiser.lr=x0.25..x4",))[0], {"airbench": cifar10_airbench()})


def make_trials(folder: Path) -> None:
    storage = Storage(folder, SPACE)
    for number in range(4):
        with storage.claim(4, lambda: True) as trial:
            trial.note(run=f"trial-{number}", values={"optimiser.lr": 0.1}, wrong=number, n=9)
            trial.report(0.5, 0.5, 0.4)
            trial.end("whole", 0.1 * number, seconds=1.0, wrong=number, n=10)


def read_trials(folder: Path) -> None:
    storage = Storage(folder, SPACE)
    for record in storage.records():
        record.cells(["optimiser.lr"])
    storage.importance()


def make_spaces(folder: Path) -> None:
    lines = ('network = ["linear", "lenet5"]', "[optimiser]", 'lr = "1e-3..1e-1:log"', "")
    (folder / "a.toml").write_text("\n".join(lines))
    (folder / "b.json").write_text('{"optimiser.lr": {"low": 0.1, "high": 1}, "defaults": true}')


def read_spaces(folder: Path) -> None:
    for name in ("a.toml", "b.json"):
        read_dimensions((str(folder / name),))


def make_cache(folder: Path) -> None:
    """The cache of a set that lies elsewhere, where its copies find it, too."""
    arrays = folder.with_name("source.npz")
    np.savez(arrays, x=pixels(8, 24, 5, 4, 3), y=np.arange(24) % 2)
    (folder / "source.txt").write_text(str(arrays))
    read_cache(folder)


def read_cache(folder: Path) -> None:
    os.environ["STRIATE_CACHE"] = str(folder)
    config = DataConfig((folder / "source.txt").read_text(), (5, 4), 3)
    list_cache()
    survey(open_source(config.source))
    images = prepare(config)
    _ = images.train.images[:8], images.train.labels, images.describe()


QUESTION = {"machine": "mine", "batch": (8, 3)}


def make_store(folder: Path) -> None:
    os.environ["STRIATE_CACHE"] = str(folder)
    store.write(QUESTION, {"execution": {"threads": 2}, "seconds": 1.0}, [])


def read_store(folder: Path) -> None:
    os.environ["STRIATE_CACHE"] = str(folder)
    store.read(QUESTION, [])


def archive(name: str, form: int = tarfile.USTAR_FORMAT) -> Reader:
    return Reader(lambda folder: make_archive(folder, name, form), read_sets)


READERS: dict[str, Reader] = {
    "pictures": Reader(make_pictures, read_pictures),
    "masks": Reader(make_masks, read_masks),
    "zip": archive("set.zip"),
    "tar": archive("set.tar"),
    "tar with extended headers": archive("set.tar", tarfile.PAX_FORMAT),
    "compressed tar": archive("set.tar.gz", tarfile.GNU_FORMAT),
    "shards": Reader(make_shards, read_sets, ("*.tar", "*.txt")),
    "lists": Reader(make_lists, read_sets, ("*.csv",)),
    "JSON lists": Reader(make_lists, read_sets, ("*.json",)),
    "arrays": Reader(make_arrays, read_sets),
    "images and masks": Reader(make_masked, read_sets),
    "classes of masks": Reader(make_masked_by_json, read_sets, ("classes.json",)),
    "predictions": Reader(make_predictions, read_predictions),
    "weights": Reader(make_weights, read_all_weights),
    "published weights": Reader(make_published, read_published),
    "run record": Reader(copy_run("lenet5"), read_run, ("run.json",)),
    "crafted run record": Reader(copy_run("lenet5"), read_run, ("run.json",), with_digest),
    "run report": Reader(copy_run("lenet5"), read_run, ("report.json", "calibration.json")),
    "run tensors": Reader(copy_run("lenet5"), read_run, ("*.safetensors",)),
    "run log": Reader(copy_run("lenet5"), read_run, ("events.jsonl",)),
    "checkpoints": Reader(copy_run("stopped"), read_checkpoints, ("*.safetensors", "*.jsonl")),
    "ledger": Reader(make_ledger, read_ledger, ("*.jsonl", "*.head.json")),
    "config": Reader(make_config, read_config),
    "study": Reader(make_study, read_study),
    "trials": Reader(make_trials, read_trials, ("trials.jsonl",)),
    "spaces": Reader(make_spaces, read_spaces),
    "cache": Reader(make_cache, read_cache, ("*.json", "*.u8")),
    "measured choices": Reader(make_store, read_store, ("*.json",)),
}
