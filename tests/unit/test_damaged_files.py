"""No damaged file ends in a traceback, hangs or fills the memory, whichever reader meets it.

Each reader gets whole files, which it must read, and damaged copies, which it may refuse with an
error that a person can correct, and with nothing else. STRIATE_DAMAGE_COUNT=500 lets `make slow`
damage so many copies for each, by another seed each time; STRIATE_DAMAGE_SEED=... repeats one.
"""

import ctypes
import faulthandler
import multiprocessing
import os
import random
import resource
import shutil
import tempfile
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from damage import damaged
from damaged_readers import READERS
from striate.errors import StriateError

FEW = 6
MANY = int(os.environ.get("STRIATE_DAMAGE_COUNT", "0"))
SECONDS = 20
LIMIT = 96 * 2**20
"""$STRIATE_MEMORY of the readers, bytes."""
BESIDE = 160 * 2**20
"""Further memory of libraries, and what the allocator keeps."""


class Case(NamedTuple):
    """A damaged file: everything that it takes to make it again."""

    reader: str
    seed: int
    number: int

    def write(self, whole: Path, folder: Path) -> None:
        """Copy the whole files of a reader, and damage one of them."""
        reader = READERS[self.reader]
        shutil.copytree(whole, folder)
        draw = random.Random(f"{self.reader} {self.seed} {self.number}")
        paths = sorted(p for pattern in reader.damaged for p in folder.rglob(pattern))
        path = draw.choice([p for p in paths if p.is_file() and p.stat().st_size])
        path.write_bytes(damaged(path.read_bytes(), path.name, draw))
        reader.repair(path)


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_refused_in_words(name, tmp_path, monkeypatch):
    assert not failures(name, 0, FEW, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.skipif(MANY == 0, reason="STRIATE_DAMAGE_COUNT says how many copies are damaged")
@pytest.mark.parametrize("name", READERS)
def test_many_damaged_files_are_refused_in_words(name, tmp_path, monkeypatch):
    seed = int(os.environ["STRIATE_DAMAGE_SEED"])
    assert not failures(name, seed, MANY, tmp_path, monkeypatch)


def failures(name, seed, count, folder, monkeypatch):
    """The cases in which a reader failed, each with its traceback or what became of it."""
    monkeypatch.setenv("STRIATE_MEMORY", str(LIMIT))
    whole = folder / "whole"
    whole.mkdir()
    READERS[name].make(whole)
    # Freed memory that earlier tests of this process keep would be used without being noticed.
    getattr(ctypes.CDLL(None), "malloc_trim", bool)(0)
    context = multiprocessing.get_context("fork")
    failed: list[str] = []
    begin = 0
    while begin < count:
        parent, child = context.Pipe(duplex=False)
        last = context.Value("q", begin)
        cases = [Case(name, seed, number) for number in range(begin, count)]
        process = context.Process(target=read_all, args=(cases, whole, last, child))
        process.start()
        child.close()
        with suppress(EOFError):
            while True:
                failed.append(parent.recv())
        process.join()
        begin = count
        if process.exitcode != 0:
            failed.append(f"{Case(name, seed, last.value)} ended its process or took {SECONDS} s")
            begin = last.value + 1
    return failed


def read_all(cases, whole, last, connection):
    """Read all cases in a process of their own, and tell the parent what went wrong."""
    read = READERS[cases[0].reader].read
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "whole"
        shutil.copytree(whole, copy)
        read(copy)  # imports what it needs, and shows that the whole files are read
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (virtual_memory() + 4 * 2**30, most))
        begin = peak()
        for case in cases:
            last.value = case.number
            place = Path(folder) / str(case.number)
            case.write(whole, place)
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            with suppress(StriateError):
                try:
                    read(place)
                except Exception as error:
                    if not isinstance(error, StriateError):
                        connection.send(f"{case}\n{traceback.format_exc()}")
            faulthandler.cancel_dump_traceback_later()
            if peak() - begin > LIMIT + BESIDE:
                connection.send(f"{case} took {(peak() - begin) / 2**20:.0f} MiB")
                begin = peak()
            shutil.rmtree(place)


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def virtual_memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


FAULTY: dict[str, Callable[[], object]] = {
    "a traceback": lambda: {}["missing"],
    "a lost process": lambda: os._exit(3),
    "too much memory": lambda: bytearray(LIMIT + BESIDE + 2**26).count(1),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_the_harness_notices(fault, tmp_path, monkeypatch):
    """A reader that fails as soon as its file is not whole."""
    reader = READERS["config"]

    def read(folder: Path) -> None:
        if folder.name != "whole":
            FAULTY[fault]()

    monkeypatch.setitem(READERS, "faulty", reader._replace(read=read))
    assert failures("faulty", 0, 1, tmp_path, monkeypatch)
