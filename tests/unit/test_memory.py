"""One limit for what is in flight, judged by headers before memory is taken; no pipes."""

import gzip
import io
import multiprocessing
import os
import struct
import tarfile
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from striate import memory
from striate.api.external import measure_files
from striate.api.images import decode_all, named_images
from striate.config import DataConfig
from striate.data import BrokenImage, ImageSpec, decode_image, open_source, prepare
from striate.data.array_file import read_arrays
from striate.data.decode import decode_whole, decode_with_digest
from striate.data.mask_file import read_masks
from striate.errors import CheckpointError, ConfigError, DataError, MemoryLimitError
from striate.networks.weight_file import read_weights
from striate.search import read_dimensions

MIB = 2**20
SIDE = 2000
"""Of a picture of four megapixels, which takes up to 36 MB."""
SPEC = ImageSpec((16, 16), 3)


@pytest.fixture
def limit(monkeypatch):
    """Set the limit, bytes."""
    return lambda num_bytes: monkeypatch.setenv("STRIATE_MEMORY", str(num_bytes))


@pytest.mark.parametrize(
    ("words", "num_bytes"),
    [("4G", 2**32), ("512 MiB", 2**29), ("1.5g", 3 * 2**29), ("1000", 1000), ("2TB", 2**41)],
)
def test_the_limit_is_a_setting(words, num_bytes, limit):
    limit(words)
    assert memory.memory_limit() == num_bytes


@pytest.mark.parametrize("words", ["much", "-1G", "1e9", "4GG", "9" * 400])
def test_other_words_are_refused(words, limit):
    limit(words)
    with pytest.raises(ConfigError, match="no size; accepted: 512M, 4G"):
        memory.memory_limit()


def test_without_a_setting_a_quarter_of_what_is_free(monkeypatch):
    monkeypatch.delenv("STRIATE_MEMORY", raising=False)
    for free, expected in ((2**30, 2**28), (2**40, 2**31), (0, 2**26)):
        monkeypatch.setattr(memory, "free_memory", lambda free=free: free)
        assert memory.memory_limit() == expected


def test_work_waits_until_it_fits_beside_the_others(limit):
    limit(100 * MIB)
    at_work, most, lock = 0, 0, threading.Lock()

    def work(number: int) -> None:
        nonlocal at_work, most
        own = (10 + 7 * (number % 6)) * MIB
        with memory.in_flight():
            memory.reserve(own // 2, "Half", more=True)
            memory.reserve(own - own // 2, "The rest")
            with lock:
                at_work += own
                most = max(most, at_work)
            time.sleep(0.001)
            with lock:
                at_work -= own

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(200)))
    assert 50 * MIB < most <= 100 * MIB
    assert memory._in_flight == 0


def test_what_exceeds_the_limit_alone_is_refused_and_nothing_stays(limit):
    limit(10 * MIB)
    with memory.in_flight():
        memory.reserve(6 * MIB, "A file")
        with pytest.raises(
            MemoryLimitError, match=r"A picture needs 11.0 MiB .* limit is 10.0 MiB"
        ):
            memory.reserve(5 * MIB, "A picture")
    assert memory._in_flight == 0


def grown(work, *arguments):
    """Bytes by which the peak memory of a process grows that does some work."""
    context = multiprocessing.get_context("fork")
    parent, child = context.Pipe(duplex=False)

    def measured() -> None:
        import resource

        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        work(*arguments)
        child.send(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))

    process = context.Process(target=measured)
    process.start()
    child.close()
    try:
        return parent.recv()
    finally:
        process.join()


def save(path: Path, mode: str, side: int) -> Path:
    Image.new(mode, (side, side), 77 if mode in ("L", "P", "I;16") else None).save(path)
    return path


def test_large_pictures_are_decoded_one_after_the_other(tmp_path, limit):
    """Eight that take 36 MB each, where there is memory for one."""
    paths = [save(tmp_path / f"{i}.png", "RGB", SIDE) for i in range(8)]
    limit(40 * MIB)

    def predicted() -> None:
        decoded = decode_all(lambda path: decode_image(path, SPEC), paths)
        assert all(isinstance(image, np.ndarray) for image in decoded)

    assert grown(predicted) < 50 * MIB


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16", "CMYK", "LA"])
def test_a_picture_takes_what_its_header_says(mode, tmp_path, limit):
    path = tmp_path / ("a.tif" if mode in ("CMYK", "I;16") else "a.png")
    if mode == "P":
        Image.new("P", (SIDE, SIDE), 3).save(path, transparency=3)
    else:
        save(path, mode, SIDE)
    needed = path.stat().st_size + (3 if mode == "L" else 9) * SIDE**2
    limit(needed)

    def read() -> None:
        decode_with_digest(path, SPEC)

    assert grown(read) < needed + 8 * MIB
    assert grown(decode_whole, path, ImageSpec((SIDE, SIDE), 3)) < needed + 8 * MIB


def test_too_large_a_picture_is_a_problem_of_its_own(tmp_path, limit):
    paths = [save(tmp_path / "large.png", "RGB", 1500), save(tmp_path / "small.png", "RGB", 20)]
    limit(10 * MIB)
    large, small = decode_all(lambda path: decode_image(path, SPEC), paths)
    assert isinstance(large, BrokenImage)
    assert "1500 × 1500 pixels needs 19.3 MiB of memory, and the limit is 10.0 MiB" in str(large)
    assert "STRIATE_MEMORY=2G" in str(large)
    assert isinstance(small, np.ndarray)


@pytest.mark.parametrize("count", [8, pytest.param(4200, marks=pytest.mark.slow)])
def test_with_more_memory_a_large_picture_is_there(count, tmp_path, limit):
    """Also beside so many small files that processes decode them, with a part of the limit each."""
    draw = np.random.default_rng(0)
    for i in range(count):
        path = tmp_path / "set" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (6, 6, 3), dtype=np.uint8)).save(path)
    save(tmp_path / "set" / "a" / "large.png", "RGB", 1500)
    limit(10 * MIB)
    config = DataConfig(str(tmp_path / "set"), (6, 6), 3)
    (broken,) = prepare(config).broken
    assert broken.name == "a/large.png"
    assert "1500 × 1500 pixels needs 19.3 MiB" in broken.reason
    limit(100 * MIB)
    data = prepare(config)
    assert data.broken == ()
    assert len(data.train) + len(data.validation) + data.test.num_items == count + 1


def test_masks_are_read_together_as_far_as_memory_reaches(tmp_path, limit):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for i in range(16):
        save(tmp_path / "images" / f"{i}.png", "L", 30)
        save(tmp_path / "masks" / f"{i}.png", "L", SIDE)
    source = open_source(str(tmp_path))
    limit(30 * MIB)
    assert grown(lambda: [None for _ in read_masks(source, source.items)]) < 60 * MIB


def header(name: str, kind: bytes, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_extended_headers_of_gigabytes_are_not_read(kind, tmp_path):
    path = tmp_path / "bomb.tar.gz"
    zeros = gzip.compress(bytes(2**24), 1)
    path.write_bytes(gzip.compress(header("long", kind, 6 * 2**30)) + zeros * 16)
    with pytest.raises(DataError, match="an extended header of 6,442,450,944 bytes"):
        _ = open_source(str(path)).items


@pytest.mark.parametrize("kind", [b"0", b"S"])
def test_members_of_gigabytes_are_refused_before_they_are_unpacked(kind, tmp_path):
    path = tmp_path / "bomb.tar.gz"
    path.write_bytes(gzip.compress(header("a/1.png", kind, 6 * 2**30) + bytes(2**20)))
    with pytest.raises(DataError, match=r"decompression bomb|header of 6,442,450,944 bytes"):
        _ = open_source(str(path)).items


@pytest.mark.parametrize("size", [b"-0000001000\0", b"\xff" * 12])
@pytest.mark.parametrize("kind", [b"0", b"x"])
def test_negative_sizes_lead_nowhere(size, kind, tmp_path):
    path = tmp_path / "back.tar"
    block = bytearray(header("a/1.png", kind, 0))
    block[124:136] = size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    path.write_bytes(bytes(block) + bytes(2048))
    with pytest.raises(DataError, match="cannot be read"):
        _ = open_source(str(path)).items


def test_many_members_are_refused_before_they_fill_the_memory(tmp_path, limit):
    path = tmp_path / "many.tar"
    path.write_bytes(header("a/1.png", b"0", 0) * 20_000)
    limit(4 * MIB)
    with pytest.raises(MemoryLimitError, match="Listing 10,000 files"):
        _ = open_source(str(path)).items


def write_array(path: Path, shape: str, content: bytes, name: str = "images") -> None:
    """An .npz file with an array of bytes whose header says any shape."""
    form = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    form += b" " * (63 - (10 + len(form)) % 64) + b"\n"
    labels = io.BytesIO()
    np.save(labels, np.arange(4) % 2)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        array = b"\x93NUMPY\x01\0" + struct.pack("<H", len(form)) + form + content
        archive.writestr(f"{name}.npy", array)
        archive.writestr("labels.npy", labels.getvalue())


def test_packed_arrays_are_judged_by_what_they_unpack_to(tmp_path, limit):
    write_array(tmp_path / "bomb.npz", "(4, 4096, 4096, 1)", bytes(2**26))
    assert (tmp_path / "bomb.npz").stat().st_size < 2**18
    limit(32 * MIB)
    with pytest.raises(MemoryLimitError, match=r"bomb.npz needs 64.0 MiB"):
        read_arrays(tmp_path / "bomb.npz")
    limit(100 * MIB)
    assert read_arrays(tmp_path / "bomb.npz")["images"].shape == (4, 4096, 4096, 1)


@pytest.mark.parametrize("shape", ["(1000000, 1000000, 3)", "(1" + "0" * 30 + ",)", "(-1, 4)"])
def test_arrays_that_claim_more_than_they_hold_are_refused(shape, tmp_path):
    write_array(tmp_path / "lie.npz", shape, b"x" * 64)
    with pytest.raises(DataError, match=r"cannot be read as an .npz file"):
        read_arrays(tmp_path / "lie.npz")


@pytest.mark.parametrize("kind", [object, "V0", "c16", [("a", "u1")]])
def test_arrays_of_other_kinds_are_refused(kind, tmp_path):
    np.savez(tmp_path / "odd.npz", x=np.zeros(3, kind))
    with pytest.raises(DataError, match=r"odd.npz cannot be read as an .npz file"):
        read_arrays(tmp_path / "odd.npz")


@pytest.mark.parametrize("order", ["C", "F"])
def test_large_arrays_that_are_not_packed_stay_on_the_disk(order, tmp_path, limit, monkeypatch):
    monkeypatch.setattr("striate.data.array_file._MAPPED", 2**20)
    values = np.asarray(np.random.default_rng(0).random((512, 1024)), order=order)
    np.savez(tmp_path / "large.npz", x=values, y=np.arange(3))
    limit(MIB)  # of which a mapped array takes nothing
    arrays = read_arrays(tmp_path / "large.npz")
    assert isinstance(arrays["x"], np.memmap)
    np.testing.assert_array_equal(arrays["x"], values)
    np.testing.assert_array_equal(arrays["y"], np.arange(3))
    content = bytearray((tmp_path / "large.npz").read_bytes())
    content[2**20] ^= 1
    (tmp_path / "large.npz").write_bytes(content)
    with pytest.raises(DataError, match="CRC"):
        read_arrays(tmp_path / "large.npz")


def test_lists_of_more_values_than_memory_holds_are_refused(tmp_path, limit):
    (tmp_path / "many.json").write_text("[" + "[]," * 200_000 + "[]]")
    limit(4 * MIB)
    with pytest.raises(MemoryLimitError, match=r"many.json needs .* and the limit is 4.0 MiB"):
        _ = open_source(str(tmp_path / "many.json")).items
    with pytest.raises(MemoryLimitError):
        measure_files([tmp_path / "many.json"], tmp_path / "many.json")


def test_weights_are_judged_by_what_they_unpack_to(tmp_path, limit):
    torch.save({"weight": torch.zeros(2**20)}, tmp_path / "whole.pt")
    with (
        zipfile.ZipFile(tmp_path / "whole.pt") as whole,
        zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for member in whole.namelist():
            packed.writestr(member, whole.read(member))
    torch.save({"weight": torch.zeros(1).expand(2**11, 2**11)}, tmp_path / "claims.pt")
    limit(2 * MIB)
    for name in ("whole.pt", "bomb.pt", "claims.pt"):
        with pytest.raises(MemoryLimitError, match=f"{name} needs"):
            read_weights(tmp_path / name)


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (torch.tensor([1.0, float("nan")]), "weight holds values that are not finite"),
        (torch.tensor([1e300], dtype=torch.float64), "weight holds values that are not finite"),
        (torch.zeros(2).to_sparse(), "state dict: names and tensors"),
        (torch.zeros(2, dtype=torch.complex64), "state dict: names and tensors"),
        (torch.zeros(2, device="meta"), "state dict: names and tensors"),
    ],
)
def test_weights_that_no_network_can_use_are_refused(value, match, tmp_path):
    torch.save({"weight": value}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=match):
        read_weights(tmp_path / "a.pt")


def test_negative_variances_are_refused(tmp_path):
    torch.save({"norm.running_var": torch.tensor([1.0, -1.0])}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"norm.running_var holds negative variances"):
        read_weights(tmp_path / "a.pt")


def test_a_range_of_shards_has_an_end():
    for pattern in ("{0..99999999}.tar", "{0..9999}-{0..9999}.tar"):
        with pytest.raises(DataError, match="more than 1,000,000 shards"):
            open_source(pattern)


@pytest.fixture(params=["pipe", "device"])
def endless(request, tmp_path):
    """Make a file that never ends, or never begins, of a name."""

    def make(name: str) -> Path:
        path = tmp_path / name
        if request.param == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to("/dev/zero")
        return path

    return make


def test_only_regular_files_are_images(endless):
    named = named_images([str(endless("a.png"))])
    (problem,) = decode_all(lambda path: decode_image(path, SPEC), [path for _, path in named])
    assert isinstance(problem, BrokenImage)
    assert "it is a pipe or a device, no plain file" in str(problem)


@pytest.mark.parametrize("ending", ["csv", "json", "npz", "zip", "tar", "tar.gz", "txt"])
def test_only_regular_files_are_sets(ending, endless):
    with pytest.raises(DataError, match="is a pipe or a device"):
        open_source(str(endless(f"set.{ending}")))


def test_other_doors_take_regular_files_alone(endless):
    with pytest.raises(DataError, match="There is no file"):
        measure_files([endless("a.csv")], "b.csv")
    with pytest.raises(CheckpointError, match="There is no file"):
        read_weights(endless("a.pt"))
    with pytest.raises(ConfigError, match="a pipe or a device, no plain file"):
        read_dimensions((str(endless("a.toml")),))
