"""Whoever decodes gives the same pictures in the same order, whatever happens to them."""

import io
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data import decoding
from striate.data.decode import ImageSpec, decode_with_digest
from striate.data.decoding import decode_all
from striate.data.source import Item

NUM = 700
SPEC = ImageSpec((12, 10), 3)
forked = pytest.mark.skipif(sys.platform != "linux", reason="workers are started on Linux only")


def content(number):
    """A little of everything: PNG of two sizes, arrays, what is broken, what could not be read."""
    if number % 50 == 7:
        return b"no picture" * (number % 3)
    if number % 50 == 8:
        return PermissionError(13, "Permission denied")
    draw = np.random.default_rng(number)
    pixels = draw.integers(0, 256, (32, 32, 3) if number % 3 else (12, 10, 3), np.uint8)
    if number % 5 == 0:
        return pixels
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def contents():
    return [(Item(f"{number:04d}", number % 4, None), content(number)) for number in range(NUM)]


@pytest.fixture
def two_workers(monkeypatch):
    """Worker processes from the second chunk on, and chunks of eleven."""
    monkeypatch.setattr(decoding, "_ALONE", 11)
    monkeypatch.setattr(decoding, "_CHUNK_ITEMS", 11)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


def children():
    return {process.pid for process in multiprocessing.active_children()}


def flat(chunks):
    """Everything in one row: item and pixels, thumbnail, digest, side; the broken apart."""
    good, broken = [], []
    for chunk in chunks:
        rows = zip(
            chunk.items, chunk.pixels, chunk.thumbnails, chunk.digests, chunk.sides, strict=True
        )
        good += [
            (item.name, p.tobytes(), t.tobytes(), digest, side) for item, p, t, digest, side in rows
        ]
        broken += [(item.name, str(reason)) for item, reason in chunk.broken]
    return good, broken


def joined(first, second):
    return first[0] + second[0], first[1] + second[1]


def check(found, contents, spec=SPEC):
    """Against one call for each image."""
    good, broken = found
    assert [name for name, _ in broken] == [
        item.name for item, _ in contents if int(item.name) % 50 in (7, 8)
    ]
    assert {reason for _, reason in broken} == {
        "no permission to read it",
        "the file is empty",
        "not an image in a format that can be read",
    }
    whole = [(item, value) for item, value in contents if int(item.name) % 50 not in (7, 8)]
    assert len(good) == len(whole)
    for (item, value), (name, pixels, thumbnail, digest, side) in zip(whole, good, strict=True):
        one = decode_with_digest(value, spec)
        assert (name, digest, side) == (item.name, one.digest, one.side)
        assert pixels == one.pixels.tobytes()
        assert thumbnail == one.thumbnail.tobytes()


@pytest.mark.parametrize("spec", [SPEC, ImageSpec((32, 32), 3), ImageSpec((16, 16), 1, "pad")])
@forked
def test_workers_answer_as_one_call_each(contents, two_workers, spec):
    chunks = decode_all(contents, spec)
    first = flat(islice(chunks, 10))
    assert len(children()) == 2
    check(joined(first, flat(chunks)), contents, spec)
    assert not children()


@pytest.mark.parametrize("thumbnail_bytes", [0, 2144, 10**9])
def test_threads_and_this_very_thread_answer_the_same(contents, monkeypatch, thumbnail_bytes):
    """Threads alone, both in turn (chunks have about so many bytes an image), no thread."""
    monkeypatch.setattr(decoding, "_THUMBNAIL_BYTES", thumbnail_bytes)
    monkeypatch.setattr(decoding, "_CHUNK_ITEMS", 11)
    began = []
    submit = ThreadPoolExecutor.submit
    monkeypatch.setattr(
        ThreadPoolExecutor, "submit", lambda *task: began.append(task) or submit(*task)
    )
    check(flat(decode_all(contents, SPEC)), contents)
    assert {0: 64, 10**9: 0}.get(thumbnail_bytes, len(began)) == len(began)
    assert thumbnail_bytes != 2144 or 0 < len(began) < 64


@forked
def test_workers_follow_threads(contents, two_workers, monkeypatch):
    monkeypatch.setattr(decoding, "_ALONE", 100)
    monkeypatch.setattr(decoding, "_THUMBNAIL_BYTES", 0)
    chunks = decode_all(contents, SPEC)
    first = flat(islice(chunks, 20))
    assert len(children()) == 2
    assert not [thread for thread in threading.enumerate() if "striate-decode" in thread.name]
    check(joined(first, flat(chunks)), contents)


@forked
def test_nothing_but_broken_images(two_workers):
    many = [(Item(str(number), 0, None), b"x" * (number % 7)) for number in range(100)]
    chunks = list(decode_all(many, SPEC))
    assert sum(len(chunk.broken) for chunk in chunks) == 100
    assert all(chunk.pixels.shape == (0, 12, 10, 3) for chunk in chunks)


@forked
def test_what_fails_in_a_worker_fails_here(contents, two_workers, monkeypatch):
    def fails(*_):
        raise ZeroDivisionError("by a mistake of ours")

    chunks = decode_all(contents, SPEC)
    next(chunks)
    monkeypatch.setattr(decoding, "decode_with_digest", fails)
    with pytest.raises(ZeroDivisionError, match="of ours"):
        list(chunks)


@forked
@pytest.mark.parametrize("number", [0, 1])
def test_where_no_worker_can_be_started_it_is_done_without(
    contents, two_workers, monkeypatch, number
):
    """As in a container that allows few processes: the first, or the second is refused."""
    start, begun = multiprocessing.get_context("fork").Process.start, []

    def refused(process):
        begun.append(process)
        if len(begun) > number:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        start(process)

    monkeypatch.setattr(multiprocessing.get_context("fork").Process, "start", refused)
    chunks = decode_all(contents, SPEC)
    found = flat(islice(chunks, 5))
    assert len(begun) == number + 1
    assert not children()
    check(joined(found, flat(chunks)), contents)


def test_few_images_start_no_worker(contents, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    chunks = decode_all(contents, SPEC)
    next(chunks)
    assert not children()
    chunks.close()


@forked
def test_workers_serve_a_thread_and_no_picture_is_there_twice(contents, two_workers):
    alike = [each for each in contents if int(each[0].name) % 3 and int(each[0].name) % 50 > 8]
    spec = ImageSpec((32, 32), 3)
    with ThreadPoolExecutor(1) as thread:
        same = thread.submit(
            lambda: [chunk.thumbnails is chunk.pixels for chunk in decode_all(alike, spec)]
        )
        names = thread.submit(lambda: [name for name, *_ in flat(decode_all(alike, spec))[0]])
        at_work = thread.submit(lambda: [children() for _ in decode_all(alike, spec)])
    assert all(same.result())
    assert len(at_work.result()[5]) == 2
    assert names.result() == [item.name for item, _ in alike]


@forked
@pytest.mark.parametrize("killed", [1, 2])
def test_workers_that_are_killed_are_done_without(contents, two_workers, killed):
    chunks = decode_all(contents, SPEC)
    found = flat(islice(chunks, 6))
    pids = sorted(children())
    assert len(pids) == 2
    for pid in pids[:killed]:
        os.kill(pid, signal.SIGKILL)
    check(joined(found, flat(chunks)), contents)


@forked
def test_a_worker_of_somebody_else_starts_none(contents, two_workers, monkeypatch):
    monkeypatch.setattr(multiprocessing, "parent_process", multiprocessing.current_process)
    chunks = decode_all(contents, SPEC)
    first = flat(islice(chunks, 10))
    assert not children()
    check(joined(first, flat(chunks)), contents)


ENDLESS = """
import itertools, multiprocessing, os, signal, time
import numpy as np
from striate.data import decoding
from striate.data.decode import ImageSpec
from striate.data.source import Item
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by what a shell runs behind
os.cpu_count = lambda: 2
def endless():
    for number in itertools.count():
        time.sleep(0.001)
        yield Item(str(number), 0, None), np.zeros((9, 9), np.uint8)
decoding._ALONE, decoding._CHUNK_ITEMS = 20, 10
try:
    for number, _ in enumerate(decoding.decode_all(endless(), ImageSpec((9, 9), 1))):
        if number == 10:
            print(*[process.pid for process in multiprocessing.active_children()], flush=True)
except KeyboardInterrupt:
    print("interrupted", len(multiprocessing.active_children()), flush=True)
"""


@pytest.fixture
def endless():
    """A process that decodes for ever, and its workers."""
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as parent:
        workers = [int(word) for word in parent.stdout.readline().split()]
        assert len(workers) == 2
        yield parent, workers
        parent.kill()


def ended(pids):
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(alive(pid) for pid in pids)


def alive(pid):
    """Running, not merely waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@forked
def test_workers_end_with_a_parent_that_is_killed(endless):
    parent, workers = endless
    parent.kill()
    parent.wait()
    assert ended(workers)


@forked
def test_an_interrupt_is_told_once_and_leaves_no_worker(endless):
    """As by the keyboard: every process of the group gets it."""
    parent, workers = endless
    for pid in workers:
        os.kill(pid, signal.SIGINT)
    time.sleep(0.5)
    assert all(alive(pid) for pid in workers)
    os.killpg(parent.pid, signal.SIGINT)
    out, err = parent.communicate(timeout=60)
    assert (out, err, parent.returncode) == (b"interrupted 0\n", b"", 0)
    assert ended(workers)
