"""Tar shards: what is found in them, how they are named, and what is said of broken ones."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data import open_source
from striate.data.shards import expand_pattern
from striate.errors import DataError


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def shard(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def paired(first: int, labels: list[str]) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    for number, label in enumerate(labels, first):
        members[f"{number:06d}.png"] = png(number)
        members[f"{number:06d}.cls"] = label.encode()
    return members


def found(source: str | Path) -> dict[str, tuple[str, str | None]]:
    opened = open_source(str(source))
    return {item.name: (opened.class_names[item.label], item.split) for item in opened.items}


def test_labels_lie_beside_images_and_names_of_shards_tell_the_split(tmp_path: Path) -> None:
    shard(tmp_path / "s" / "train-000.tar", paired(0, ["cat", "dog", "ant"]))
    shard(tmp_path / "s" / "train-001.tar", paired(3, ["dog\n", " cat"]))
    shard(tmp_path / "s" / "val-000.tar", paired(9, ["ant"]))
    expected = {
        "train-000.tar/000000.png": ("cat", "train"),
        "train-000.tar/000001.png": ("dog", "train"),
        "train-000.tar/000002.png": ("ant", "train"),
        "train-001.tar/000003.png": ("dog", "train"),
        "train-001.tar/000004.png": ("cat", "train"),
        "val-000.tar/000009.png": ("ant", "validation"),
    }
    assert found(tmp_path / "s") == expected
    assert found(tmp_path / "s" / "*.tar") == expected
    listed = tmp_path / "all.txt"
    listed.write_text("s/train-{000..001}.tar  # both\n\ns/val-000.tar\n")
    assert found(listed) == expected
    of_train = {name: what for name, what in expected.items() if name.startswith("train")}
    assert found(tmp_path / "s" / "train-{000..001}.tar") == of_train


def test_numbers_are_named_by_the_list_beside_the_shards(tmp_path: Path) -> None:
    labels = ["10", "2", "0"]
    shard(tmp_path / "a.tar", paired(0, labels))
    names = [name for name, _ in found(tmp_path).values()]
    assert names == labels
    assert open_source(str(tmp_path)).class_names == ("0", "2", "10")
    before = open_source(str(tmp_path)).fingerprint()
    (tmp_path / "classes.txt").write_text("".join(f"class {k}\n" for k in range(11)))
    assert open_source(str(tmp_path)).fingerprint() != before
    assert [name for name, _ in found(tmp_path).values()] == ["class 10", "class 2", "class 0"]
    (tmp_path / "classes.txt").write_text("one\ntwo\nthree\n")
    with pytest.raises(DataError, match=r"3 class.*the labels 10 are among them"):
        found(tmp_path)


def test_json_beside_images_is_read(tmp_path: Path) -> None:
    members = {}
    for number, label in enumerate(["cat", "dog"]):
        members[f"{number}.png"] = png(number)
        members[f"{number}.json"] = json.dumps({"label": label, "width": 11}).encode()
    shard(tmp_path / "a-0.tar", members)
    assert [what for what, _ in found(tmp_path).values()] == ["cat", "dog"]


def test_class_folders_inside_shards(tmp_path: Path) -> None:
    shard(tmp_path / "train" / "0.tar", {"cat/1.png": png(1), "dog/2.png": png(2)})
    shard(tmp_path / "train" / "1.tar", {"cat/3.png": png(3)})
    shard(tmp_path / "test" / "0.tar", {"Dog/4.png": png(4)})
    assert found(tmp_path) == {
        "train/cat/1.png": ("cat", "train"),
        "train/dog/2.png": ("dog", "train"),
        "train/cat/3.png": ("cat", "train"),
        "test/Dog/4.png": ("dog", "test"),
    }
    source = open_source(str(tmp_path))
    for item, content in source.stream(source.items):
        assert content == png(int(item.name[-5]))
        assert source.read(item) == content
        assert source.read(item, 20) == png(int(item.name[-5]))[:20]


def test_all_broken_shards_are_told_together(tmp_path: Path) -> None:
    whole = shard(tmp_path / "a-0.tar", paired(0, ["x", "y"]))
    (tmp_path / "a-1.tar").write_bytes(whole.read_bytes()[:1100])
    (tmp_path / "a-2.tar").write_bytes(b"this is no archive" * 99)
    with tarfile.open(tmp_path / "a-3.tar", "w:gz") as archive:
        archive.add(whole, "b.tar")
    with pytest.raises(DataError, match="3 of the 4 shards") as caught:
        found(tmp_path)
    told = str(caught.value)
    assert f"{tmp_path}/a-1.tar: it ends within " in told
    assert f"{tmp_path}/a-2.tar: it is compressed or no plain tar" in told
    assert f"{tmp_path}/a-3.tar: it is compressed or no plain tar" in told


def test_an_image_without_a_label_is_named(tmp_path: Path) -> None:
    shard(tmp_path / "a.tar", {**paired(0, ["x", "y"]), "000007.png": png(7)})
    with pytest.raises(DataError, match=r"1 images .* no label beside them: a\.tar/000007\.png"):
        found(tmp_path)


def test_patterns_that_name_nothing_are_refused(tmp_path: Path) -> None:
    for name in ("t-08", "t-10", "u-9", "u-10"):
        shard(tmp_path / f"{name}.tar", {})
    assert len(expand_pattern(str(tmp_path / "u-{9..10}.tar"))) == 2
    assert len(expand_pattern(str(tmp_path / "*-10.tar"))) == 2
    with pytest.raises(DataError, match=r"stands for 3 shards, and 1 of them .*t-09\.tar"):
        expand_pattern(str(tmp_path / "t-{08..10}.tar"))
    with pytest.raises(DataError, match="stands for 0 shards, and there is none"):
        expand_pattern(str(tmp_path / "v-*.tar"))
    with pytest.raises(DataError, match=r"lies elsewhere.*Download"):
        open_source("https://example.org/train-{0..9}.tar")
    (tmp_path / "all.txt").write_text("https://example.org/a.tar\n")
    with pytest.raises(DataError, match="download them first"):
        open_source(str(tmp_path / "all.txt"))
    (tmp_path / "all.txt").write_text("gone.tar\n")
    with pytest.raises(DataError, match=r"1 of them do not exist: .*gone\.tar"):
        open_source(str(tmp_path / "all.txt"))


def test_headers_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from striate.data import shards

    path = shard(tmp_path / "a.tar", paired(0, ["x", "y"]))
    before = found(tmp_path)
    scanned: list[Path] = []
    scan: Callable[..., object] = shards.scan_tar
    monkeypatch.setattr(shards, "scan_tar", lambda path: scanned.append(path) or scan(path))
    assert found(tmp_path) == before
    assert not scanned
    shard(path, paired(5, ["x", "y", "x"]))
    assert len(found(tmp_path)) == 3
    assert scanned == [path]


def test_shards_of_one_name_in_several_folders_are_told_apart(tmp_path: Path) -> None:
    for first, split in enumerate(("train", "val", "test")):
        shard(tmp_path / "s" / split / "0.tar", paired(0, ["cat", "dog"][:: 1 - 2 * (first % 2)]))
    expected = {
        f"{split}/0.tar/00000{number}.png": (("dog", "cat")[number == (split == "val")], named)
        for split, named in (("train", "train"), ("val", "validation"), ("test", "test"))
        for number in range(2)
    }
    assert found(tmp_path / "s") == expected
    listed = tmp_path / "all.txt"
    listed.write_text("s/train/0.tar\ns/val/0.tar\ns/test/0.tar\n")
    assert found(listed) == expected


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "utf-8-sig"])
def test_lists_of_shards_and_of_names_are_utf_8(tmp_path: Path, encoding: str) -> None:
    shard(tmp_path / "a.tar", paired(0, ["0", "1"]))
    (tmp_path / "all.txt").write_text("a.tar  # für alle\n", encoding=encoding)
    if encoding == "utf-8-sig":
        assert len(found(tmp_path / "all.txt")) == 2
        (tmp_path / "classes.txt").write_text("Bär\nEule\n", encoding=encoding)
        assert open_source(str(tmp_path / "a*.tar")).class_names == ("Bär", "Eule")
        return
    with pytest.raises(DataError, match=r"not UTF-8\. Save it as UTF-8"):
        found(tmp_path / "all.txt")
    (tmp_path / "classes.txt").write_text("Bär\nEule\n", encoding=encoding)
    with pytest.raises(DataError, match=r"classes\.txt is .*not UTF-8"):
        found(tmp_path / "a*.tar")
