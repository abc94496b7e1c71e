"""The folder of a run: the files in it, and the record that describes it.

run.json                the resolved configuration, its hash, the data, the preprocessing, versions
events.jsonl            the log (append only)
checkpoints/            the newest two, and the one of a stop
network.safetensors     the weights that predict, once the training has finished
calibration.json        what makes its probabilities honest, fitted on the validation split
validation.safetensors  the probabilities on the validation split, before calibration
test.safetensors        those on the test split, once it was opened
report.html, .json      what a person reads
openings.jsonl          receipts of test openings
digests.jsonl           digests of the files above, by which damage is noticed
"""

import hashlib
import json
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from striate import digests, durable, locks
from striate.config import RunConfig
from striate.data.spelling import enumerated, folder_name
from striate.errors import RunError, command_line
from striate.networks.weight_file import require_finite
from striate.reading import read_bytes, read_json, reported_as
from striate.run_record import require_form

_FORMAT = 1


class RunFolder:
    """The files of one run.

    Args:
        path: Path of the folder; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events = path / "events.jsonl"
        self.checkpoints = path / "checkpoints"
        self.weights = path / "network.safetensors"
        self.predictions = path / "validation.safetensors"
        self.test_predictions = path / "test.safetensors"
        self.calibration = path / "calibration.json"
        self.report = path / "report.html"
        self.figures = path / "report.json"

    @classmethod
    def free(cls, wanted: Path | None, title: str, config: RunConfig) -> "RunFolder":
        """A folder for a new run: the one that is wanted, or the next free name under runs/.

        Raises:
            RunError: the wanted folder holds something already.
        """
        if wanted is not None:
            if wanted.exists() and (not wanted.is_dir() or _holds_something(wanted)):
                raise RunError(
                    f"{wanted} is taken. Choose another --out, or continue what is there: "
                    f"{command_line('resume', wanted)}"
                )
            return cls(wanted)
        words = folder_name(f"{title}-{config.network.name}")
        base = Path("runs") / f"{words}-{config.hash}"
        for number in range(1, 10_000):
            path = base if number == 1 else base.with_name(f"{base.name}-{number}")
            if not path.exists():
                return cls(path)
        raise RunError(f"{base} and all its numbered names are taken; choose a folder with --out.")

    @classmethod
    def existing(cls, path: Path) -> "RunFolder":
        """A folder that holds a run.

        Raises:
            RunError: it does not.
        """
        if not (path / "run.json").is_file():
            members = sorted(str(p.parent) for p in path.glob("*/run.json"))
            if members:
                raise RunError(
                    f"{path} is a folder of {len(members)} runs; name one of them: "
                    f"{enumerated(members, most=5)}."
                )
            known = sorted(p.parent for p in Path("runs").glob("*/run.json"))
            hint = f" Runs here: {', '.join(map(str, known[-5:]))}." if known else ""
            reason = "holds no run.json" if path.exists() else "does not exist"
            raise RunError(f"{path} is not a run: it {reason}.{hint}")
        return cls(path)

    def snapshot(self, step: int) -> Path:
        """File of the weights of a watched training after a step."""
        return self.path / "snapshots" / f"{step:09}.safetensors"

    def snapshots(self) -> list[tuple[int, Path]]:
        """Steps of which the weights were kept, and their files, in order."""
        paths = sorted((self.path / "snapshots").glob("*.safetensors"))
        return [(int(path.stem), path) for path in paths if path.stem.isdecimal()]

    def create(self, record: dict[str, Any]) -> None:
        """Make the folder and write its record."""
        whole = {
            "format": _FORMAT,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            **record,
        }
        durable.write_json(self.path / "run.json", {**whole, "digest": _digest(whole)})

    def record(self) -> dict[str, Any]:
        """The content of run.json.

        Raises:
            RunError: it is damaged, was changed, has another form, or is of a later format.
        """
        path = self.path / "run.json"
        with reported_as(RunError, f"{path} cannot be read"):
            value: dict[str, Any] = read_json(path)
            number = int(value["format"])
            digest = value.pop("digest", None)
            expected = _digest(value)
        if number > _FORMAT:
            raise RunError(
                f"{path} has format {number}, of a later version of Striate; this one "
                f"({version('striate')}) reads formats up to {_FORMAT}. Update Striate to read it."
            )
        if digest != expected:
            raise RunError(
                f"{path} was changed after it was written: what it says of preprocessing and "
                "configuration may not be what the weights were trained with. Restore it, or "
                "train anew."
            )
        remedy = (
            "Restore it, or train anew; if another version of Striate than this one "
            f"({version('striate')}) wrote it, use that one."
        )
        with reported_as(RunError, f"{path} cannot be read", remedy):
            require_form(value)
        return value

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Make the folder of a new run and hold it; nothing stays if no run comes of it.

        Raises:
            StorageError: the folder cannot be made or written.
            RunError: another process was first.
        """
        with durable.explaining(self.path, "written"):
            self.path.mkdir(parents=True, exist_ok=True)
        with self.locked():
            try:
                if (self.path / "run.json").exists():
                    raise RunError(
                        f"{self.path} was taken by another process; choose another --out."
                    )
                yield
            finally:
                # By whoever holds it: another process, refused, would take the lock away with it.
                if not _holds_something(self.path):
                    shutil.rmtree(self.path, ignore_errors=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training in this folder at the same time.

        Raises:
            StorageError: the folder cannot be written.
            RunError: another process does.
        """
        taken = f"{self.path} is being trained by another process. Wait for it, or stop it first."
        with locks.lock(self.path / ".lock", wait=False, taken=taken):
            yield

    def require(self, path: Path) -> None:
        """Refuse a run that lacks a file of a finished training.

        Raises:
            RunError: the file is missing.
        """
        if not path.is_file():
            lacking = f"{self.path} has no {path.name}"
            if locks.is_locked(self.path / ".lock"):
                raise RunError(
                    f"{lacking} yet: another process is training it. Try again when that has ended."
                )
            raise RunError(
                f"{lacking}: its training has not ended. "
                f"Continue with: {command_line('resume', self.path)}"
            )

    def is_whole(self, path: Path) -> bool:
        """Whether a file is there, and as it was written."""
        return path.is_file() and digests.why_damaged(path) is None

    @property
    def is_complete(self) -> bool:
        """Whether all files of a finished training are there, as they were written."""
        kept = (self.weights, self.predictions, self.figures, self.report)
        is_calibrated = digests.why_damaged(self.calibration) is None
        return is_calibrated and all(self.is_whole(path) for path in kept)

    @property
    def problems(self) -> list[str]:
        """A sentence about each file that is damaged or gone after it was written."""
        files = (self.weights, self.predictions, self.calibration, self.figures, self.report)
        problems = [digests.why_damaged(path) for path in files]
        problems.append(digests.why_damaged(self.events, grows=True))
        return [problem for problem in problems if problem is not None]

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what cannot be checked: runs of earlier versions kept no digests."""
        files = [p for p in (self.weights, self.predictions, self.calibration) if p.is_file()]
        unknown = [path.name for path in files if not digests.is_known(path)]
        if not unknown:
            return ()
        return (
            f"{self.path} is of an earlier version, which kept no digests of "
            f"{enumerated(unknown)}: damage to them would not be noticed.",
        )

    def write_tensors(self, path: Path, tensors: dict[str, Tensor]) -> None:
        """Write a safetensors file, whole or not at all."""
        whole = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
        digests.write_bytes(path, save(whole))

    def read_tensors(self, path: Path) -> dict[str, Tensor]:
        """Tensors of a safetensors file.

        Raises:
            RunError: it is missing or damaged, or holds numbers that are not finite.
        """
        self.require(path)
        again = f"Make it again: {command_line('resume', self.path)}"
        digests.require(path, again)
        with reported_as(RunError, f"{path} cannot be read", f"Remove it. {again}"):
            tensors: dict[str, Tensor] = load(read_bytes(path))
            require_finite(tensors)
        return tensors


def _holds_something(folder: Path) -> bool:
    """Whether a folder is in use; what a process leaves that was killed early does not count."""
    return any(
        path.name != ".lock" and not path.name.endswith(".partial") for path in folder.iterdir()
    )


def _digest(record: dict[str, Any]) -> str:
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
