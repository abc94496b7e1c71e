"""Places that cannot be written, names that are too long, letters that a terminal lacks."""

import csv
import errno
import io
import json
import os
import pwd
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import striate
from striate import folders, kernels
from striate.cli import main
from striate.errors import ConfigError

SMALL = {
    "network": "airbench",
    "steps": 2,
    "assignments": ("network.widths=[8,8]", "training.batch_size=8"),
}


def write_classes(folder: Path, names: tuple[str, ...] = ("cat", "cow")) -> Path:
    """Classes of small colour images with noise, of which no two are nearly equal."""
    draw = np.random.default_rng(11)
    for kind, name in enumerate(names):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(12):
            pixels = 90 + 50 * kind + draw.normal(0, 30, (12, 12, 3))
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            image.save(folder / name / f"{number:02d}.png")
    return folder


def write_list(folder: Path) -> Path:
    """The same in one folder, with Chinese names of classes in a list."""
    rows = ["path,label"]
    for name in ("猫", "牛"):
        write_classes(folder, (f"{ord(name)}",))
        rows += [f"{path.relative_to(folder)},{name}" for path in folder.glob(f"{ord(name)}/*")]
    (folder / "list.csv").write_text("\n".join(rows), "utf-8")
    return folder / "list.csv"


@pytest.fixture
def command(monkeypatch):
    """Run a command line: its exit code, and the bytes that it wrote."""

    def run(*words: object, encoding: str = "utf-8") -> tuple[int, bytes, bytes]:
        written = io.BytesIO(), io.BytesIO()
        for name, stream in zip(("stdout", "stderr"), written, strict=True):
            monkeypatch.setattr(sys, name, io.TextIOWrapper(stream, encoding, write_through=True))
        monkeypatch.setattr(sys, "argv", ["striate", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), written[0].getvalue(), written[1].getvalue()

    return run


def refused(done: tuple[int, bytes, bytes]) -> str:
    """The sentence of a command that was refused."""
    code, _, said = done
    assert code == 2, said
    text = said.decode()
    assert text.startswith("Error ")
    assert text.count("\n") == 1
    return text


@pytest.mark.parametrize("verb", ["train", "resume", "evaluate", "predict", "inspect", "cv"])
def test_an_argument_longer_than_a_name_may_be(verb, command):
    words = [verb, "x" * 300, *(["image.png"] if verb == "predict" else [])]
    assert "the name is longer than the system allows" in refused(command(*words))


def test_results_where_no_file_or_folder_can_be(tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = write_classes(tmp_path / "set")
    file = tmp_path / "file"
    file.write_text("x")
    lists = tmp_path / "p.csv"
    lists.write_text("id,a,b\n0,.9,.1\n1,.2,.8\n")
    truth = tmp_path / "t.csv"
    truth.write_text("id,label\n0,a\n1,b\n")
    measure = ("measure", "-p", lists, "-t", truth)
    for words in (
        ("inspect", data, "--out", file),
        ("inspect", data, "--out", file / "x"),
        ("cv", data, "--folds", 2, "--out", file / "x"),
        ("search", data, "--out", file / "x"),
        ("train", data, "--seeds", 2, "--out", file / "x"),
        ("train", data, "--out", file / "x"),
        (*measure, "--json", data),
        (*measure, "--out", data),
        (*measure, "--json", file / "x"),
        ("evaluate", "run", "--json", data),
        ("compare", "a", "b", "--out", file),
        ("graph", "x*y", "x=1", "y=2", "--svg", data),
    ):
        said = refused(command(*words))
        assert "could not be written: " in said
        assert f"then repeat: striate {words[0]} " in said
    assert file.read_text() == "x"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "p.csv", "set", "t.csv"]


@pytest.mark.parametrize("number", [errno.EROFS, errno.EIO, errno.EDQUOT])
def test_a_working_folder_that_cannot_be_written(number, tmp_path, command, monkeypatch):
    """As on a read-only disk: every command says which file, and why."""
    monkeypatch.chdir(tmp_path)
    data = write_classes(tmp_path / "set")
    cache = tmp_path / "cache"
    monkeypatch.setenv("STRIATE_CACHE", str(cache))
    make = os.mkdir

    def refuse(path, *rest, **further):
        if not Path(path).absolute().is_relative_to(cache):
            raise OSError(number, os.strerror(number), str(path))
        make(path, *rest, **further)

    monkeypatch.setattr(os, "mkdir", refuse)
    small = ("--steps", 2, "--network", "airbench")
    for words in (
        ("train", data, *small),
        ("train", data, *small, "--seeds", 2),
        ("cv", data, *small),
        ("search", data, *small),
    ):
        said = refused(command(*words))
        assert re.match(r"Error runs\S* could not be written: ", said)
        assert "then repeat: striate " in said


def test_a_folder_with_a_long_name_is_trained_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("写真" * 40, "x" * 250):
        run = striate.train(write_classes(tmp_path / name), **SMALL)
        assert run.is_finished
        assert run.path.name.startswith(name[:40])
        assert run.path.name.endswith(run.hash)
        assert striate.inspect(tmp_path / name, labels=False).report.is_file()


@pytest.fixture
def nobody(monkeypatch):
    """A user without HOME, whom the system does not know."""
    for name in ("HOME", "STRIATE_CACHE", "STRIATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(uid):
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.mark.usefixtures("nobody")
def test_no_home_folder(tmp_path, command, monkeypatch):
    data = write_classes(tmp_path / "set")
    monkeypatch.chdir(tmp_path)
    for words in (("train", data), ("rate", data), ("cache", "list"), ("ledger",)):
        said = refused(command(*words))
        assert "No home folder of this user is known. Set $STRIATE_CACHE" in said
    # Said before the work, although only the report needs it.
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    assert "$STRIATE_HOME" in refused(command("train", data))
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "cache").exists()


def test_a_home_that_nobody_knows(tmp_path, command, monkeypatch):
    monkeypatch.setenv("STRIATE_CACHE", "~no such user/cache")
    with pytest.raises(ConfigError, match="Write the path without ~"):
        folders.cache_dir()
    assert "Write the path without ~" in refused(command("train", "~no such user/images"))


def test_letters_that_a_terminal_lacks(tmp_path, command):
    data = write_list(tmp_path / "set")
    run = striate.train(data, out=tmp_path / "run", **SMALL)
    image = next(data.parent.glob("*/*.png"))
    code, said, _ = command("predict", run.path, image, encoding="iso-8859-1")
    assert code == 0
    assert rb"\u732b" in said or rb"\u725b" in said
    code, said, _ = command("predict", run.path, image, "--csv", encoding="iso-8859-1")
    assert code == 0
    assert {"猫", "牛"} <= set(next(csv.reader(io.StringIO(said.decode("utf-8")))))
    code, said, _ = command("predict", run.path, image, "--json", encoding="iso-8859-1")
    assert code == 0
    assert set(json.loads(said.decode("utf-8"))["probabilities"]) == {"猫", "牛"}
    code, said, _ = command("evaluate", run.path, encoding="iso-8859-1")
    assert code == 0


@pytest.mark.skipif(sys.platform != "linux", reason="a bus error is the system's own")
def test_a_cached_file_that_is_cut_while_it_is_read(tmp_path):
    if not kernels.available():
        pytest.skip(kernels.why_not())
    path = tmp_path / "set" / "pixels.u8"
    path.parent.mkdir()
    path.write_bytes(bytes(2**20))
    code = (
        "import os, sys; from pathlib import Path; from striate.data.cache import map_array\n"
        "path = Path(sys.argv[1]); pixels = map_array(path, (2**20,)); os.truncate(path, 0)\n"
        "print(pixels.sum())"
    )
    words = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"Error {path.parent} was cut while its images were read")
    assert done.stderr.count("\n") == 1
