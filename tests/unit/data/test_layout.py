"""Folders and archives as people have them: each shape has one clear answer."""

import os
import sys
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data import open_source, prepare, survey
from striate.data.archive import ArchiveSource
from striate.data.field import Labels
from striate.data.hidden import without_hidden
from striate.data.layout import Entry, read_layout
from striate.errors import DataError

WriteTree = Callable[..., Path]
TWO = ("cat/1.png", "dog/1.png")


def listing_of(names: Iterable[str], folders: Iterable[str] = ()):
    entries = [Entry(tuple(name.split("/")), name) for name in names]
    files, seen, _ = without_hidden(entries, [tuple(name.split("/")) for name in folders])
    return read_layout("photos", files, seen)


def under(*splits: str) -> list[str]:
    return [f"{split}/{name}" for split in splits for name in TWO]


def test_class_folders_with_nesting_spaces_unicode_and_litter() -> None:
    found = listing_of(
        [
            "class 2/a b.jpg",
            "class 10/deep/er/ü.jpg",
            "猫/x.png",
            "class 2/.hidden",
            ".git/config",
            "__MACOSX/class 2/._a b.jpg",
            "class 2/Thumbs.db",
            "README.txt",
        ]
    )
    assert found.class_names == ("class 2", "class 10", "猫")
    assert [(i.name, i.label, i.split) for i in found.items] == [
        ("class 10/deep/er/ü.jpg", 1, None),
        ("class 2/a b.jpg", 0, None),
        ("猫/x.png", 2, None),
    ]
    assert found.notes == (
        "1 file(s) beside the class folders of photos were left out: README.txt.",
    )


def test_a_class_may_be_named_as_another_with_a_number_behind_it() -> None:
    tops = ["cat10", "cat", "cat2", "cat2b", "2", "Cat 3", "1cat"]
    found = listing_of(f"{top}/{n}.png" for top in tops for n in range(2))
    assert found.class_names == ("1cat", "2", "cat", "cat2", "cat2b", "cat10", "Cat 3")


@pytest.mark.parametrize("name", ["val", "valid", "Validation"])
def test_split_folders_and_their_names(name: str) -> None:
    found = listing_of(under("Train", name, "TEST"))
    splits = {item.name: item.split for item in found.items}
    assert splits == {
        "Train/cat/1.png": "train",
        "Train/dog/1.png": "train",
        f"{name}/cat/1.png": "validation",
        f"{name}/dog/1.png": "validation",
        "TEST/cat/1.png": "test",
        "TEST/dog/1.png": "test",
    }


def test_a_folder_around_everything_is_looked_through() -> None:
    assert listing_of([f"set/v1/{n}" for n in under("train", "test")]).class_names == ("cat", "dog")
    assert listing_of([f"set/{n}" for n in TWO]).items == tuple(
        i._replace(key=f"set/{i.key}") for i in listing_of(TWO).items
    )


def test_case_and_composition_between_splits_are_one_class() -> None:
    found = listing_of(["train/Café/1", "train/dog/1", "test/CAFE\u0301/2", "test/dog/2"])
    assert found.class_names == ("Café", "dog")
    assert [i.label for i in found.items if i.split == "test"] == [0, 1]
    assert "joined: CAFÉ = Café" in found.notes[0].replace("E\u0301", "É")


def test_imagenet_layout() -> None:
    found = listing_of(
        [
            "train/n01440764/n01440764_1.JPEG",
            "train/n01443537/n01443537_2.JPEG",
            "val/n01440764/ILSVRC2012_val_00000293.JPEG",
            "val/n01443537/v.JPEG",
        ]
    )
    assert found.class_names == ("n01440764", "n01443537")
    assert {i.split for i in found.items} == {"train", "validation"}


def test_empty_class_is_dropped_with_a_note() -> None:
    found = listing_of(TWO, ["cat", "dog", "emu"])
    assert found.class_names == ("cat", "dog")
    assert found.notes == ("Empty class folders of photos were dropped: emu.",)


def test_a_class_that_test_lacks_is_noted() -> None:
    found = listing_of([*under("train"), "test/cat/1.png"])
    assert found.notes == ("photos/test has no images of dog; nothing is measured there.",)


@pytest.mark.parametrize(
    ("names", "folders", "match"),
    [
        ([], [], "holds no files"),
        (["1.jpg", "2.jpg"], [], "2 files but no folders"),
        (["cat/1.jpg", "cat/2.jpg"], [], "single class, 'cat'"),
        ([*TWO, "Cat/2.png"], [], "differ only in letter case: Cat, cat|cat, Cat"),
        ([*under("train"), "train/Cat/2.png"], [], "photos/train has folders whose names differ"),
        (under("test"), [], "no train/ beside it"),
        ([*TWO, *under("test")], [], "no train/ beside it"),
        ([*under("train"), "test/1.png", "test/2.png"], [], "test/ holds 2 files but no class"),
        (under("train"), ["test"], "photos/test/ is empty"),
        ([*under("train"), "test/emu/1.png"], [], "classes without training images: emu"),
        (under("train", "val", "valid"), [], "both mean the validation"),
        (["train/1.png", "test/2.png"], [], "train/ holds 1 files but no class folders"),
    ],
)
def test_what_cannot_be_learned_is_refused(names, folders, match) -> None:
    with pytest.raises(DataError, match=match):
        listing_of(names, folders)


def test_all_problems_are_told_together() -> None:
    with pytest.raises(DataError, match=r"(?s)emu.*empty|empty.*emu"):
        listing_of([*under("train"), "test/emu/1.png"], ["val"])


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_archives_hold_what_the_folder_holds(photos: Path, pack, ending: str) -> None:
    folder, archive = open_source(str(photos)), open_source(str(pack(photos, ending)))
    assert archive.class_names == folder.class_names
    assert [i[:3] for i in archive.items] == [i[:3] for i in folder.items]
    contents = {i.name: c for i, c in archive.stream(archive.items)}
    for item, other in zip(folder.items, archive.items, strict=True):
        assert contents[item.name] == folder.read(item)
        if other.label == 2:
            assert archive.read(other) == folder.read(item)
            assert archive.read(other, 10) == folder.read(item)[:10]
    assert survey(archive).formats == {"PNG": 31}


def test_links_in_a_tar_and_repeated_names(tmp_path: Path, photos: Path) -> None:
    path = tmp_path / "links.tar"
    with tarfile.open(path, "w") as archive:
        for file in sorted(photos.rglob("*.png")):
            archive.add(file, str(file.relative_to(photos)))
        link = tarfile.TarInfo("ant/hard.png")
        link.type, link.linkname = tarfile.LNKTYPE, "ant/0.png"
        archive.addfile(link)
        archive.add(photos / "bee" / "3.png", "ant/1.png")
    source = open_source(str(path))
    items = {item.name: item for item in source.items}
    assert len(items) == 32
    assert source.notes == (
        "1 name(s) occur more than once, and only the last of each was kept: ant/1.png.",
    )
    assert source.read(items["ant/hard.png"]) == (photos / "ant/0.png").read_bytes()
    assert source.read(items["ant/1.png"]) == (photos / "bee/3.png").read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="links")
@pytest.mark.parametrize("top", ["photos", "."])
@pytest.mark.parametrize("packing", ["", "gz", "xz"])
def test_links_in_a_tar_lead_where_they_lead_in_its_folder(
    tmp_path: Path, photos: Path, packing: str, top: str
) -> None:
    (photos / "ant" / "a soft one.png").symlink_to("../bee/3.png")
    (photos / "ant" / "by the next.png").symlink_to("z.png")
    (photos / "ant" / "z.png").symlink_to("../cow/1.png")  # packed before what it leads to
    os.link(photos / "cow" / "2.png", photos / "ant" / "hard.png")
    path = tmp_path / f"p.tar{packing and '.'}{packing}"
    with tarfile.open(path, f"w:{packing}") as archive:
        archive.add(photos, top)
        for name, target in (("round.png", "round.png"), ("gone.png", "/nowhere.png")):
            link = tarfile.TarInfo(f"{top}/bee/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, target
            archive.addfile(link)
    folder, found = open_source(str(photos)), open_source(str(path))
    assert [i[:3] for i in found.items] == [i[:3] for i in folder.items]
    assert len(found.items) == 35
    contents = {item.name: content for item, content in found.stream(found.items)}
    assert contents == {item.name: folder.read(item) for item in folder.items}


@pytest.mark.parametrize("packing", ["gz", "bz2", "xz"])
def test_damaged_archives_are_told(photos: Path, pack, config_of, packing: str) -> None:
    path = pack(photos, f".tar.{packing}")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40] = bytes(40)
    path.write_bytes(content)
    try:
        told = [str(item) for item in prepare(config_of(path)).broken]
    except DataError as error:
        told = [str(error)]
    assert told, "the damage is said, of the archive or of files in it"


def test_names_that_point_outside_touch_nothing(tmp_path: Path, photos: Path) -> None:
    path = tmp_path / "evil.tar"
    with tarfile.open(path, "w") as archive:
        for number, name in enumerate(("/abs/cat/1.png", "../../up/dog/1.png")):
            archive.add(photos / "ant" / f"{number}.png", name, filter=lambda m: m)
    before = sorted(tmp_path.rglob("*"))
    source = ArchiveSource(path)
    with pytest.raises(DataError, match=r"single class|no folders"):
        _ = source.items
    assert sorted(tmp_path.rglob("*")) == before


def test_bombs_and_torn_archives_are_refused(tmp_path: Path, photos: Path, pack) -> None:
    bomb = tmp_path / "bomb.tar.gz"
    with tarfile.open(bomb, "w:gz", compresslevel=1) as archive:
        import io

        for name in ("cat/1.png", "dog/1.png"):
            member = tarfile.TarInfo(name)
            member.size = 2 * 2**20
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    from striate.data import archive as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_SMALL", 2**20)
        with pytest.raises(DataError, match="decompression bomb"):
            _ = open_source(str(bomb)).items
    for ending in (".zip", ".tar.gz"):
        whole = pack(photos, ending)
        whole.write_bytes(whole.read_bytes()[:1500])
        with pytest.raises(DataError, match="cannot be read"):
            _ = open_source(str(whole)).items


def test_a_tar_that_ends_early_names_the_lost_file(tmp_path: Path, photos: Path) -> None:
    path = tmp_path / "short.tar"
    with tarfile.open(path, "w") as archive:
        for file in sorted(photos.rglob("*.png")):
            archive.add(file, str(file.relative_to(photos)))
    source = ArchiveSource(path)
    items = source.items
    with open(path, "rb+") as stream:
        stream.truncate(items[-1].key[0] + 5)
    last = next(content for item, content in source.stream(items) if item == items[-1])
    assert isinstance(last, OSError)


@pytest.mark.skipif(sys.platform == "win32", reason="links")
def test_links_are_followed_and_loops_are_not(tmp_path: Path, photos: Path) -> None:
    (photos / "ant" / "loop").symlink_to(photos)
    (photos / "ant" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (photos / "ant" / "itself.png").symlink_to("itself.png")
    other = tmp_path / "elsewhere"
    (photos / "cow").rename(other)
    (photos / "cow").symlink_to(other)
    source = open_source(str(photos))
    assert len(source.items) == 33
    assert any("leads back" in note for note in source.notes)
    contents = {item.name: content for item, content in source.stream(source.items)}
    assert isinstance(contents["ant/gone.png"], FileNotFoundError)
    assert isinstance(contents["ant/itself.png"], OSError)


def test_folders_without_permission_are_all_named(photos: Path, monkeypatch) -> None:
    scandir = os.scandir

    def guarded(path):
        if str(path).endswith(("bee", "cow")):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(DataError, match=r"cannot be read: .*(bee.*cow|cow.*bee)"):
        open_source(str(photos)).fingerprint()


def test_paths_and_names_that_do_not_exist(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file or folder 'minst'.*Did you mean 'mnist'"):
        open_source("minst")
    with pytest.raises(DataError, match=r"Known: blobs, cifar10, cifar100"):
        open_source(str(tmp_path / "absent"))
    (tmp_path / "one.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match="is no set of images"):
        open_source(str(tmp_path / "one.jpg"))


def test_survey_counts_and_measures(tmp_path: Path, write_tree: WriteTree) -> None:
    root = write_tree(tmp_path / "mixed", [f"{c}/{n}.png" for c in "abc" for n in range(4)])
    wide = np.zeros((50, 70), dtype=np.uint8)
    Image.fromarray(wide).save(root / "a" / "grey.jpg")
    Image.fromarray(np.repeat(wide[:, :, None], 3, 2)).save(root / "b" / "grey as colour.png")
    (root / "c" / "notes.txt").write_text("no image")
    found = survey(open_source(str(root)))
    assert found.counts_per_class == {"unsplit": (5, 5, 5)}
    assert (found.num_images, found.num_sampled, found.num_broken) == (15, 15, 1)
    assert found.heights == (9, 9, 50)
    assert found.widths == (11, 11, 70)
    assert found.modes == {"RGB": 13, "L": 1}
    assert found.grey_share == pytest.approx(2 / 14)
    assert survey(open_source(str(root))) == found
    (root / "a" / "grey.jpg").unlink()
    assert survey(open_source(str(root))).num_images == 14


def test_grey_is_decided_on_all_pictures(tmp_path: Path) -> None:
    """One coloured picture of 200, in the last file of the list and stored as all the others."""
    root = tmp_path / "nearly grey"
    for n in range(200):
        path = root / "ab"[n % 2] / f"{n:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw = np.random.default_rng(n)
        pixels = draw.integers(0, 256, (8, 8, 1), dtype=np.uint8).repeat(3, 2)
        Image.fromarray(pixels).save(path)
    assert survey(open_source(str(root))).grey_share == 1.0
    pixels[..., 0] //= 2
    for number in (0, 101, 199):
        coloured = root / "ab"[number % 2] / f"{number:03}.png"
        kept = coloured.read_bytes()
        Image.fromarray(pixels).save(coloured)
        assert 0.98 < survey(open_source(str(root))).grey_share < 1.0
        coloured.write_bytes(kept)


def test_lists_of_other_systems(tmp_path: Path, photos: Path) -> None:
    paths = sorted(photos.rglob("*.png"))
    rows = [
        (f"photos/{p.relative_to(photos)}", p.parent.name, n % 5 == 0) for n, p in enumerate(paths)
    ]
    several = tmp_path / "train.csv"
    several.write_text(
        "fname,labels,is_valid\n" + "".join(f"{p},{c} wet,{v}\n" for p, c, v in rows)
    )
    source = open_source(str(several))
    assert Labels.of(source, "labels").names == ("ant", "bee", "cow", "wet")
    assert [i.split == "validation" for i in source.items] == [v for *_, v in rows]
    for column in ("fname", "filename", "image"):
        single = tmp_path / "single.csv"
        single.write_text(f"{column},label\n" + "".join(f"{p},{c}\n" for p, c, _ in rows))
        source = open_source(str(single))
        assert [source.class_names[i.label] for i in source.items] == [c for _, c, _ in rows]
        assert source.where(source.items[:1]) == [f"line 2 ({rows[0][0]})"]


def test_csv_and_json_lists(tmp_path: Path, photos: Path) -> None:
    rows = [(str(p.relative_to(tmp_path)), p.parent.name) for p in sorted(photos.rglob("*.png"))]
    comma = tmp_path / "list.csv"
    comma.write_text("path,label\n" + "".join(f"{p},{c}\n" for p, c in rows))
    semicolon = tmp_path / "split.csv"
    semicolon.write_text(
        "\ufefflabel;split;path\n"
        + "".join(f"{c};{'test' if n % 3 else 'train'};{p}\n" for n, (p, c) in enumerate(rows))
    )
    import json

    as_json = tmp_path / "list.json"
    as_json.write_text(json.dumps([{"path": p, "label": c} for p, c in rows]))
    for path in (comma, as_json):
        source = open_source(str(path))
        assert [(i.name, source.class_names[i.label], i.split) for i in source.items] == sorted(
            (p, c, None) for p, c in rows
        )
        assert source.read(source.items[3]) == (tmp_path / source.items[3].name).read_bytes()
    assert {i.split for i in open_source(str(semicolon)).items} == {"train", "test"}


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("photo,cls\na.png,x\n", r"no column path and no column label; its columns are photo, cls"),
        ("photo,label\na.png,x\n", "no column path; its columns are photo, label"),
        ("path,label,split\na,x,train\nb,y,exam\n", "line 3: the split 'exam'"),
        ("path,label,split\na,x,train\nb,y,\n", "line 3: the split ''"),
        ("path,label\na,x\nb,x\n", r"has 1 class\(es\)"),
        ("path,label\na,Cat\nb,cat\n", "differ only in letter"),
        ("path,label\na,\nb,y\n", "line 2 has no label"),
        ('\n\npath,label\n"a\nb",x\n\nc,\n', "line 7 has no label"),
        ('path,label\nb,y\n"a\nb",\n', "line 3 has no label"),
        ("", "list.csv is empty"),
        (" \n\n", "list.csv is empty"),
        ("path,label\n", "one line, 'path,label', and no rows"),
        (
            "path,label\n" + "".join(f"{n}.png,{'xy'[n % 2]}\n" for n in range(5)),
            r"lists 5 files, and they do not exist: 0.png, 1.png, 2.png and 2 more\. Paths are rel",
        ),
    ],
)
def test_lists_with_faults_say_where(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=match):
        _ = open_source(str(path)).items


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "cp1252"])
def test_lists_in_other_encodings_say_what_to_do(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text("path,label\nä,x\nb,y\n", encoding=encoding)
    kind = "UTF-16" if "16" in encoding else "another encoding"
    with pytest.raises(DataError, match=f"{kind}, not UTF-8. Save it as UTF-8"):
        _ = open_source(str(path)).items


def test_a_list_keeps_line_breaks_and_notes_repeated_paths(tmp_path: Path, photos: Path) -> None:
    (photos / "ant" / "0.png").rename(photos / "ant" / "a\nb.png")
    path = tmp_path / "list.csv"
    rows = ['"photos/ant/a\nb.png",ant', "photos/bee/0.png,bee", "photos/bee/0.png,bee"]
    path.write_text("\n".join(["path,label", *rows]))
    source = open_source(str(path))
    assert [item.name for item in source.items] == ["photos/ant/a\nb.png", "photos/bee/0.png"]
    assert isinstance(source.read(source.items[0]), bytes)
    assert source.notes[0].startswith("1 name(s) occur more than once")


def test_headers_at_the_end_of_files_cost_one_more_pass(tmp_path: Path, pack) -> None:
    """A TIFF's directory may lie behind its pixels: 65,536 bytes do not tell its size."""
    pixels = np.random.default_rng(0).integers(0, 256, (160, 150, 3), dtype=np.uint8)
    for name in ("a/1.tif", "a/2.tif", "b/1.tif", "b/2.tif"):
        path = tmp_path / "scans" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    body = path.read_bytes()
    assert int.from_bytes(body[4:8], "little") < 100, "Pillow writes it first"
    for path in (tmp_path / "scans").rglob("*.tif"):
        path.write_bytes(_directory_last(path.read_bytes()))
    source = open_source(str(pack(tmp_path / "scans", ".tar.gz")))
    passes = []
    stream = source.stream

    def counted(items, limit=None):
        passes.append((len(items), limit))
        return stream(items, limit)

    source.stream = counted  # type: ignore[method-assign]
    found = survey(source)
    assert (found.num_broken, found.heights, found.widths) == (0, (160,) * 3, (150,) * 3)
    assert [count for count, _ in passes] == [4, 4, 4], "headers, whole files, colours"


def _directory_last(tiff: bytes) -> bytes:
    """The same little-endian TIFF with its first directory moved to the end."""
    start = int.from_bytes(tiff[4:8], "little")
    count = int.from_bytes(tiff[start : start + 2], "little")
    directory = tiff[start : start + 2 + 12 * count + 4]
    return tiff[:4] + len(tiff).to_bytes(4, "little") + tiff[8:] + directory
