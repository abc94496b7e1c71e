"""A set of images ready for training: two open splits, and one that is sealed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from striate.config import DataConfig
from striate.data import cache
from striate.data.build import build, is_classes_alone
from striate.data.decode import ImageSpec, spec_of
from striate.data.duplicate_check import Leak, leak_message, leak_note
from striate.data.field import Category, Field, strata_of
from striate.data.fold import fold
from striate.data.locate import open_source
from striate.data.part import ImageSet, read_part
from striate.data.picture import FULL_DEPTH
from striate.data.seal import SealedSplit
from striate.data.source import Progress, Source, Split
from striate.data.spelling import shown, text_name
from striate.data.split import uneven_notes
from striate.data.stratify import counts_of
from striate.errors import DataError, LeakError

_BROKEN_NOTED = 5
"""Number of broken files that a note names; the report names all."""
_DECODED_ANEW = (
    "The decoded images in the cache were not as they were written, and were decoded anew. Is the "
    "disk sound?"
)
_LISTED = 20
"""Number of examples in a list."""


@dataclass(frozen=True)
class BrokenFile:
    """A file that gave no picture."""

    name: str
    reason: str
    split: Split | None


@dataclass(frozen=True)
class Dataset:
    """A decoded set: what training may see, and the sealed test split."""

    title: str
    source: str
    fields: Mapping[str, Field]
    """Fields that an item holds beside its image, by name."""
    spec: ImageSpec
    train: ImageSet
    validation: ImageSet
    test: SealedSplit
    broken: tuple[BrokenFile, ...]
    notes: tuple[str, ...]
    """Sentences for the person and the report."""
    digest: str
    """Names the contents (classes and pictures), whatever their path, order or input size."""
    test_origin: str
    """"official": the source names it; "held out": taken from all images."""
    validation_origin: str
    licence: str | None
    counts_per_class: dict[str, tuple[int, ...]]
    split_seed: int
    leaks: tuple[Leak, ...] = ()
    """Test images with near-duplicates outside the test split."""
    leaks_dropped: int = 0
    """Images left out as near-duplicates of test images."""
    leaking: int = 0
    """Images outside the test split with near-duplicates in it, those left out included."""
    turned_pairs: int = 0
    """Pairs of images of which one is a mirrored or turned copy of the other."""
    published: bool = False
    """Whether others measure on its very splits."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, where each item has one; else none."""
        category = self.fields.get("category")
        return category.names if isinstance(category, Category) else ()

    def describe(self) -> dict[str, Any]:
        """JSON values for the run: what was trained on, and how it was divided."""
        return {
            "title": self.title,
            "source": text_name(self.source),
            "licence": self.licence,
            "class_names": list(self.class_names),
            "fields": {name: field.to_json() for name, field in self.fields.items()},
            "spec": self.spec.to_json(),
            "counts": {
                "train": len(self.train),
                "validation": len(self.validation),
                "test": self.test.num_items,
            },
            "counts_per_class": {s: list(counts) for s, counts in self.counts_per_class.items()},
            "digest": self.digest,
            "test_digest": self.test.digest,
            "test_origin": self.test_origin,
            "validation_origin": self.validation_origin,
            "split_seed": self.split_seed,
            "broken": [vars(file) for file in self.broken],
            "notes": list(self.notes),
            "leaks": self.describe_leaks(),
            **({"turned_pairs": self.turned_pairs} if self.turned_pairs else {}),
        }

    def describe_leaks(self) -> dict[str, Any]:
        """JSON values: how many test images leak, a few of them, and what was done."""
        return {
            "num_test": len(self.leaks),
            "kinds": dict(Counter(leak.kind for leak in self.leaks)),
            "dropped": self.leaks_dropped,
            "published": self.published,
            "examples": [asdict(leak) for leak in self.leaks[:_LISTED]],
        }


def prepare(
    config: DataConfig,
    *,
    source: Source | None = None,
    fields: Mapping[str, Field] | None = None,
    progress: Progress | None = None,
    turned: bool = True,
) -> Dataset:
    """The set that `config` names, decoded: from the cache, or into it.

    A fold is other rows of the set without folds: nothing is decoded anew for it.

    Args:
        config: Source, form of the images, splits.
        source: Opened source, if it is open already.
        fields: Fields that are kept of each item beside its image; None: its class.
        progress: Receives what is being done, how much is done and of how much.
        turned: Whether mirrored and turned copies belong together, as earlier versions did not
            know.

    Raises:
        DataError: nothing can be learned from the source; files are broken and
            `config.strict` is set; or the cache cannot be written.
    """
    if source is None:
        source = open_source(config.source, config.target_pattern, config.limit)
    if config.streaming and not source.random_access:
        raise DataError(
            f"{source.title} cannot be streamed: its images lie packed one behind the other. "
            "Leave out data.streaming, or unpack it into a folder, a .zip or .tar shards."
        )
    described, was_damaged = _obtained(source, config, fields, progress)
    # Earlier versions did not know turned copies, and their runs keep their splits.
    if not turned and described.get("turned_pairs"):
        described, was_damaged = _obtained(source, config, fields, progress, turned=False)
    cache.mark_used(described["key"])
    broken = tuple(BrokenFile(**file) for file in described["broken"])
    if broken and config.strict:
        raise DataError(_list_broken(source.title, broken))
    data = _open(described, source, config, fields, broken)
    return replace(data, notes=(*data.notes, _DECODED_ANEW)) if was_damaged else data


def refuse_leaks(config: DataConfig, data: Dataset) -> None:
    """Stop before a training of which too many images resemble test images.

    A few were left out when the set was decoded. Not where that was allowed, nor for the splits of
    a published set: everyone measures on those as they are, and results on silently changed splits
    could not be compared. A note says it then, here and in every report.

    Raises:
        LeakError: There are leaks; the message has counts, examples, and what to do.
    """
    if data.leaks and config.leaks == "stop" and not data.published and not data.leaks_dropped:
        num_outside = len(data.train) + len(data.validation)
        raise LeakError(
            leak_message(data.title, data.test.num_items, data.leaks, data.leaking, num_outside)
        )


def _obtained(
    source: Source,
    config: DataConfig,
    fields: Mapping[str, Field] | None,
    progress: Progress | None,
    *,
    turned: bool = True,
) -> tuple[dict[str, Any], bool]:
    """The content of set.json of the set in the cache, or of the one that is decoded now; and
    whether it was damaged there before."""
    memo = _memo(source, config, fields, turned)
    described = _remembered(memo, config)
    was_damaged = described is None and _is_kept(memo)
    if described is None:
        folder = cache.build_folder(memo)
        with cache.building(memo):
            # Another process may have built it while this one waited.
            described = _remembered(memo, config)
            if described is None:
                # Whoever allows leaks takes the set as it is.
                turned = turned and config.leaks != "allow"
                described = _build(source, config, fields, folder, memo, progress, turned)
    return described, was_damaged


def _memo(
    source: Source, config: DataConfig, fields: Mapping[str, Field] | None, turned: bool
) -> Path:
    """The memo of all that decides which images lie in a set, and in which form."""
    further: list[Any] = ["streamed"] if config.streaming else []
    if config.bits != FULL_DEPTH:
        further.append(f"{config.bits} bits")
    if config.groups or config.leaks != "stop":
        further += [config.groups, config.leaks == "drop"]
    further += ["leaks allowed"] if config.leaks == "allow" else []
    if fields is not None and not is_classes_alone(fields):
        further.append({name: field.to_json() for name, field in fields.items()})
    further += [] if turned else ["turned copies apart"]
    further += [] if config.limit is None else [f"limit {config.limit}"]
    return cache.memo_path(
        "images",
        source.fingerprint(),
        list(config.input_size),
        config.channels,
        config.fit,
        [config.validation_fraction, config.test_fraction, config.split_seed],
        *further,
    )


def _remembered(memo: Path, config: DataConfig) -> dict[str, Any] | None:
    key = _remembered_key(memo)
    return None if key is None else cache.read_set(key, config)


def _is_kept(memo: Path) -> bool:
    """Whether the cache has the set of a memo, whole or damaged."""
    key = _remembered_key(memo)
    return key is not None and (cache.images_dir() / key / "set.json").is_file()


def _remembered_key(memo: Path) -> str | None:
    known = cache.read_memo(memo)
    key = known.get("key") if isinstance(known, dict) else None
    return key if isinstance(key, str) else None


def _build(
    source: Source,
    config: DataConfig,
    fields: Mapping[str, Field] | None,
    folder: Path,
    memo: Path,
    progress: Progress | None,
    turned: bool,
) -> dict[str, Any]:
    source.fetch(progress)
    fields = {"category": Category.of(source, "category")} if fields is None else fields
    key, lasting = build(source, config, fields, folder, progress, turned)
    described = cache.read_set(key, config)
    if described is None:
        raise DataError(
            f"The decoded images of {source.title} vanished from {cache.images_dir()} while they "
            "were made. Was the cache cleared? Repeat."
        )
    if lasting:
        cache.write_memo(memo, {"key": key, "title": source.title})
    return described


def _open(
    described: dict[str, Any],
    source: Source,
    config: DataConfig,
    fields: Mapping[str, Field] | None,
    broken: tuple[BrokenFile, ...],
) -> Dataset:
    spec = spec_of(config)
    folder = cache.images_dir() / described["key"]
    if fields is None or is_classes_alone(fields):
        fields = {"category": Category(described["class_names"])}
    reopened = source if config.streaming else None
    leaks = tuple(Leak(**leak) for leak in described["leaks"])
    dropped = described["leaks_dropped"]
    development, groups = read_part(
        folder / "development", spec, described["development"], reopened, fields
    )
    train, validation, origin, notes = _divided(described, development, groups, config)
    notes = [*source.remarks, *notes, *_broken_notes(broken)]
    if isinstance(category := fields.get("category"), Category):
        notes += uneven_notes(category.counts(train.labels), category.names)
    if leaks:
        num_test = described["test"]["num_items"]
        notes.append(leak_note(len(leaks), num_test, dropped, source.published))

    test = described["test"]

    def load_test() -> ImageSet:
        return read_part(folder / "test", spec, test, reopened, fields, verify=True)[0]

    return Dataset(
        title=source.title,
        source=source.origin,
        fields=fields,
        spec=spec,
        train=train,
        validation=validation,
        test=SealedSplit(
            described["test_digest"],
            test["num_items"],
            load_test,
            partial(cache.require_whole, folder / "test", test),
        ),
        broken=broken,
        notes=tuple(notes),
        digest=described["digest"],
        test_origin=described["test_origin"],
        validation_origin=origin,
        licence=source.licence,
        counts_per_class={
            "train": _counts(train),
            "validation": _counts(validation),
            "test": tuple(described["counts_per_class"]["test"]),
        },
        split_seed=config.split_seed,
        leaks=leaks,
        leaks_dropped=dropped,
        leaking=described.get("leaking", 0),
        turned_pairs=described.get("turned_pairs", 0),
        published=source.published,
    )


def _divided(
    described: dict[str, Any], whole: ImageSet, groups: Sequence[str], config: DataConfig
) -> tuple[ImageSet, ImageSet, str, list[str]]:
    """Training and validation images, where the division comes from, and what to say of it."""
    if config.folds is None and config.validation == "apart":
        rows = np.arange(len(whole))
        train, validation = np.split(rows, [described["counts"]["train"]])
        origin, notes = described["validation_origin"], described["notes"]
        return whole.part(train), whole.part(validation), origin, notes
    kept = [note for note in described["notes"] if note not in described["validation_notes"]]
    if config.folds is None:
        return whole, whole, "in turn", [*kept, _in_turn_note(len(whole))]
    which = (config.fold, config.folds, config.fold_seed)
    strata, names = strata_of(whole.columns, whole.fields, len(whole))
    train, validation, of_fold = fold(whole.names, groups, strata, names, which)
    return whole.part(train), whole.part(validation), "fold", [*kept, *of_fold]


def _in_turn_note(num_images: int) -> str:
    return (
        f"Each of the {num_images:,} images outside the test split is learned from. Its validation "
        "prediction is that of a last layer which was solved without it."
    )


def _counts(images: ImageSet) -> tuple[int, ...]:
    strata, names = strata_of(images.columns, images.fields, len(images))
    return tuple(counts_of(strata, len(names))) if names else (len(images),)


def _broken_notes(broken: Sequence[BrokenFile]) -> list[str]:
    if not broken:
        return []
    few = "; ".join(f"{shown(file.name)}: {file.reason}" for file in broken[:_BROKEN_NOTED])
    more = f"; and {len(broken) - _BROKEN_NOTED} more" * (len(broken) > _BROKEN_NOTED)
    return [
        f"{len(broken)} file(s) gave no picture and were left out ({few}{more}). All are listed "
        "by name in the run's report."
    ]


def _list_broken(title: str, broken: Sequence[BrokenFile]) -> str:
    lines = [f"{title} has {len(broken)} file(s) that give no picture:"]
    lines += [f"  {shown(file.name)}: {file.reason}" for file in broken[:_LISTED]]
    if len(broken) > _LISTED:
        lines.append(f"  and {len(broken) - _LISTED} more")
    lines.append("Repair or remove them, or allow them to be left out (leave out --strict).")
    return "\n".join(lines)
