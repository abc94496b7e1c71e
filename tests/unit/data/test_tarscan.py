"""Reading a tar's headers finds what Python's own reader finds, and says where one is damaged."""

import io
import tarfile
from pathlib import Path

import pytest

from striate.data.tarscan import scan_tar

LONG = "/".join(["folder-" + "x" * 60] * 4) + "/picture.png"
NAMES = [
    "a/1.png",
    "a/2.png",
    "b/grün.png",
    LONG,
    "b/" + "y" * 60 + "/" + "z" * 60 + ".png",
    "b/empty.png",
]
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def write(path: Path, form: int, mtime: float = 1.5) -> Path:
    with tarfile.open(path, "w", format=form, encoding="utf-8") as archive:
        folder = tarfile.TarInfo("a")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for number, name in enumerate(NAMES):
            if form == tarfile.USTAR_FORMAT and len(name) > 200:
                continue
            member = tarfile.TarInfo(name)
            member.size = 0 if "empty" in name else 500 + 77 * number
            member.mtime = mtime
            archive.addfile(member, io.BytesIO(bytes([number]) * member.size))
        for kind, name, target in (
            (tarfile.LNKTYPE, "b/hard.png", "a/1.png"),
            (tarfile.SYMTYPE, "b/soft.png", "../a/2.png"),
            (tarfile.SYMTYPE, "b/astray.png", "../../nowhere.png"),
            (tarfile.FIFOTYPE, "b/pipe.png", ""),
        ):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, target
            archive.addfile(link)
        last = tarfile.TarInfo("c/last.png")
        last.size = 3
        archive.addfile(last, io.BytesIO(b"end"))
    return path


@pytest.mark.parametrize("form", FORMATS)
def test_members_are_those_of_tarfile(form: int, tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", form)
    found = {member.name: member for member in scan_tar(path)}
    with tarfile.open(path, encoding="utf-8") as archive:
        members = archive.getmembers()
    files = {m.name: (m.offset_data, m.size) for m in members if m.isfile()}
    assert len(files) >= 6
    for name, place in files.items():
        assert (found[name].offset, found[name].size) == place
    assert (found["b/hard.png"].offset, found["b/hard.png"].size) == files["a/1.png"]
    assert (found["b/soft.png"].offset, found["b/soft.png"].size) == files["a/2.png"]
    assert [name for name, member in found.items() if member.is_folder] == ["a"]
    assert set(found) == {*files, "a", "b/hard.png", "b/soft.png"}


def test_a_cut_archive_says_in_which_file_it_ends(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", tarfile.GNU_FORMAT)
    whole = path.read_bytes()
    last = next(m for m in scan_tar(path) if m.name == "a/2.png")
    path.write_bytes(whole[: last.offset + 10])
    with pytest.raises(OSError, match=r"ends within a/2\.png, 567 bytes too early"):
        list(scan_tar(path))
    path.write_bytes(whole[: last.offset - 100])
    with pytest.raises(OSError, match=f"within the header at byte {last.offset - 512}"):
        list(scan_tar(path))


def test_a_damaged_header_is_told_by_its_place(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", tarfile.GNU_FORMAT)
    content = bytearray(path.read_bytes())
    place = next(m for m in scan_tar(path) if m.name == "a/2.png").offset - 512
    content[place + 3] ^= 0x21
    path.write_bytes(content)
    with pytest.raises(OSError, match=f"the header at byte {place} is damaged"):
        list(scan_tar(path))


def test_a_compressed_tar_is_read_where_it_is_accepted(tmp_path: Path) -> None:
    packed = tmp_path / "a.tar"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(write(tmp_path / "b.tar", tarfile.GNU_FORMAT), "b.tar")
    with pytest.raises(OSError, match="header"):
        scan_tar(packed)
    assert [m.name for m in scan_tar(packed, compressed=True)] == ["b.tar"]


def test_sizes_above_eight_gibibytes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    member = tarfile.TarInfo("a/big.bin")
    member.size = 9 * 2**30
    header = member.tobuf(tarfile.GNU_FORMAT)
    with open(path, "wb") as stream:
        stream.write(header)
        stream.truncate(512 + member.size + 1024)  # a hole: no room on the disk is taken
    assert [(m.name, m.size) for m in scan_tar(path)] == [("a/big.bin", member.size)]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_cut_archive_of_long_names_says_where_it_ends(form: int, tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", form)
    whole = path.read_bytes()
    last = next(m for m in scan_tar(path) if m.name == "b/empty.png")
    before = next(m for m in scan_tar(path) if m.name.endswith("z.png"))
    path.write_bytes(whole[: before.offset + before.size - 3])
    with pytest.raises(OSError, match=r"z\.png, 3 bytes too early"):
        scan_tar(path)
    path.write_bytes(whole[: last.offset - 100])
    with pytest.raises(OSError, match=r"ends within (a|the) header"):
        scan_tar(path)


@pytest.mark.parametrize("form", FORMATS[:2])
def test_names_that_fill_their_fields(form: int, tmp_path: Path) -> None:
    names = ["d/" + "w" * 94 + ".png", "v" * 60 + "/" + "u" * 96 + ".png", "p" * 155 + "/n.png"]
    with tarfile.open(tmp_path / "a.tar", "w", format=form) as archive:
        for name in names:  # files alone, so that no header needs Python's reader
            archive.addfile(tarfile.TarInfo(name))
    assert [member.name for member in scan_tar(tmp_path / "a.tar")] == names


def pax(**records: str) -> bytes:
    """The content of an extended header."""
    content = b""
    for key, value in records.items():
        record = f" {key.replace('__', '.')}={value}\n".encode()
        length = next(n for n in range(2 * len(record) + 9) if n == len(record) + len(str(n)))
        content += str(length).encode() + record
    return content


def extended(path: Path, kind: bytes, content: bytes) -> Path:
    """Write a tar of one file of 600 bytes, "a/1.png", after an extended header."""
    before, file = tarfile.TarInfo("before"), tarfile.TarInfo("a/1.png")
    before.type, before.size, file.size = kind, len(content), 600
    with open(path, "wb") as stream:
        stream.write(before.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512))
        stream.write(file.tobuf(tarfile.USTAR_FORMAT) + b"p" * 600 + bytes(424 + 1024))
    return path


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (b"g", pax(comment="d7d05618061fe37d")),  # as of an archive that git wrote
        (b"g", pax(path="all/alike.png")),
        (b"g", pax(size="590")),
        (b"x", pax(path="grün/1.png", mtime="1.5")),
        (b"x", pax(path="b/1.png", size="590")),
        (b"x", pax(comment="path=c")),
        (b"x", b""),
        (b"x", pax(GNU__sparse__name="d.png")),
        (b"L", b"e/" + b"e" * 120 + b".png\0"),
        (b"L", b"f/1.png"),
    ],
)
def test_extended_headers_are_read_as_by_tarfile(
    kind: bytes, content: bytes, tmp_path: Path
) -> None:
    path = extended(tmp_path / "a.tar", kind, content)
    with tarfile.open(path, encoding="utf-8") as archive:
        expected = [(m.name, m.offset_data, m.size) for m in archive.getmembers()]
    assert [(m.name, m.offset, m.size) for m in scan_tar(path)] == expected


@pytest.mark.parametrize(
    "content",
    [b"999 path=a\n", b"12 path=a\n", b"path=a\n", b"12 path=ab.\n", b"9 pathab\n"],
)
def test_a_damaged_extended_header_hides_no_file(content: bytes, tmp_path: Path) -> None:
    path = extended(tmp_path / "a.tar", b"x", content)
    assert [(m.offset, m.size) for m in scan_tar(path)] == [(3 * 512, 600)]


def test_an_extended_header_with_a_negative_size_is_refused(tmp_path: Path) -> None:
    path = extended(tmp_path / "a.tar", b"x", b"11 size=-1\n")
    with pytest.raises(OSError, match=r"a/1\.png has -1 bytes"):
        scan_tar(path)
