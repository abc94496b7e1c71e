"""All hands give the same pictures in the same order, whatever happens to them."""

import io
import multiprocessing
import os
import signal
import subprocess
import sys
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
forked = pytest.mark.skipif(sys.platform != "linux", reason="helpers are started on Linux only")


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
def many_hands(monkeypatch):
    """Two helpers from the second chunk on, and chunks of eleven."""
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
        broken += [(item.name, reason) for item, reason in chunk.broken]
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
def test_helpers_answer_as_one_call_each(contents, many_hands, spec):
    chunks = decode_all(contents, spec)
    first = flat(islice(chunks, 10))
    assert len(children()) == 2
    check(joined(first, flat(chunks)), contents, spec)
    assert not children()


def test_one_core_and_threads_answer_the_same(contents, monkeypatch):
    monkeypatch.setattr(decoding, "_ALONE", 11)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    check(flat(decode_all(contents, SPEC)), contents)
    monkeypatch.setattr(decoding, "_THUMBNAIL_BYTES", 0)
    check(flat(decode_all(contents, SPEC)), contents)


def test_few_images_start_no_helper(contents, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    chunks = decode_all(contents, SPEC)
    next(chunks)
    assert not children()
    chunks.close()


@forked
def test_helpers_work_for_a_thread_and_send_no_picture_twice(contents, many_hands):
    alike = [each for each in contents if int(each[0].name) % 3 and int(each[0].name) % 50 > 8]
    spec = ImageSpec((32, 32), 3)
    with ThreadPoolExecutor(1) as thread:
        same = thread.submit(
            lambda: [chunk.thumbnails is chunk.pixels for chunk in decode_all(alike, spec)]
        )
        names = thread.submit(lambda: [name for name, *_ in flat(decode_all(alike, spec))[0]])
    assert all(same.result())
    assert names.result() == [item.name for item, _ in alike]


@forked
def test_helpers_that_are_killed_are_done_without(contents, many_hands):
    chunks = decode_all(contents, SPEC)
    found = flat(islice(chunks, 6))
    for pid in children():
        os.kill(pid, signal.SIGKILL)
    check(joined(found, flat(chunks)), contents)


@forked
def test_an_interrupt_leaves_no_helper_behind(contents, many_hands):
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - the loop is what is interrupted
        for number, _ in enumerate(decode_all(contents, SPEC)):
            if number == 5:
                assert children()
                raise KeyboardInterrupt
    deadline = time.monotonic() + 20
    while children() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not children()


@forked
def test_a_helper_of_somebody_else_starts_none(contents, many_hands, monkeypatch):
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    check(flat(decode_all(contents, SPEC)), contents)


KILLED = """
import io, itertools, multiprocessing, os, sys, time
import numpy as np
from striate.data import decoding
from striate.data.decode import ImageSpec
from striate.data.source import Item
os.cpu_count = lambda: 2
def endless():
    for number in itertools.count():
        time.sleep(0.001)
        yield Item(str(number), 0, None), np.zeros((9, 9), np.uint8)
decoding._ALONE, decoding._CHUNK_ITEMS = 20, 10
for number, _ in enumerate(decoding.decode_all(endless(), ImageSpec((9, 9), 1))):
    if number == 10:
        print(*[process.pid for process in multiprocessing.active_children()], flush=True)
"""


@forked
def test_helpers_end_with_a_parent_that_is_killed():
    with subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE) as parent:
        helpers = [int(word) for word in parent.stdout.readline().split()]
        parent.kill()
        parent.wait()
    assert len(helpers) == 2
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in helpers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(alive(pid) for pid in helpers)


def alive(pid):
    """Running, not merely waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
