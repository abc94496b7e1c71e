"""Fetching official files from a server that does what servers do."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from striate.data.download import RemoteFile, download
from striate.errors import DownloadError

CONTENT = np.random.default_rng(0).integers(0, 256, 300_007, dtype=np.uint8).tobytes()
OTHER = np.random.default_rng(1).integers(0, 256, 300_007, dtype=np.uint8).tobytes()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT in the manner that the path names, and notes what was asked for."""

    asked: ClassVar[list[tuple[str, str | None]]] = []
    cuts: ClassVar[dict[str, int]] = {}

    def do_GET(self) -> None:
        kind = self.path.strip("/")
        Handler.asked.append((kind, self.headers.get("Range")))
        getattr(self, f"serve_{kind}")()

    def send(self, content: bytes, start: int = 0, cut: int | None = None, tag: str | None = None):
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if tag:
            self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:cut])

    def wanted_start(self, tag: str) -> int:
        asked = self.headers.get("Range")
        if not asked or self.headers.get("If-Range") != tag:
            return 0
        return int(asked.removeprefix("bytes=").rstrip("-"))

    def serve_good(self) -> None:
        self.send(CONTENT)

    def serve_corrupted(self) -> None:
        self.send(OTHER)

    def serve_truncated(self) -> None:
        self.send(CONTENT, cut=1000)

    def serve_endless(self) -> None:
        self.send(CONTENT + OTHER)

    def serve_moved(self) -> None:
        self.send_response(302)
        self.send_header("Location", "/good")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def serve_absent(self) -> None:
        self.send_error(404)

    def serve_busy(self) -> None:
        self.send_error(503)

    def serve_ranged(self) -> None:
        """Breaks off twice, but continues when asked."""
        start = self.wanted_start('"one"')
        cut = {0: 100_000, 100_000: 220_000}.get(start)
        self.send(CONTENT, start, cut, '"one"')

    def serve_changed(self) -> None:
        """The file was replaced between the two requests: the whole new one is sent."""
        if len(Handler.asked) == 1:
            self.send(OTHER, cut=100_000, tag='"old"')
        else:
            self.send(CONTENT, self.wanted_start('"new"'), tag='"new"')

    def serve_rangeless(self) -> None:
        """Knows nothing of ranges, and breaks off the first time."""
        self.send(CONTENT, cut=100_000 if len(Handler.asked) == 1 else None, tag='"one"')

    def serve_unsatisfiable(self) -> None:
        if self.headers.get("Range"):
            self.send_error(416)
        else:
            self.send(CONTENT, cut=100_000 if len(Handler.asked) == 1 else None, tag='"one"')

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def base() -> Iterator[str]:
    Handler.asked.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


def fetch(base: str, kind: str, folder: Path, progress=None) -> Path:
    file = RemoteFile("f.gz", base + kind, len(CONTENT), hashlib.md5(CONTENT).hexdigest())
    return download(file, folder, "downloading f (licence: none)", progress)


@pytest.mark.parametrize(
    "kind", ["good", "moved", "ranged", "changed", "rangeless", "unsatisfiable"]
)
def test_what_can_be_fetched_arrives_whole(base: str, kind: str, tmp_path: Path) -> None:
    path = fetch(base, kind, tmp_path)
    assert path == tmp_path / "f.gz"
    assert path.read_bytes() == CONTENT
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == ["f.gz"]


def test_a_cut_download_is_continued_not_repeated(base: str, tmp_path: Path) -> None:
    fetch(base, "ranged", tmp_path)
    assert [asked[1] for asked in Handler.asked] == [None, "bytes=100000-", "bytes=220000-"]


def test_a_later_call_continues_too(base: str, tmp_path: Path, monkeypatch) -> None:
    from striate.data import download as module

    monkeypatch.setattr(module, "_ATTEMPTS", 1)
    with pytest.raises(DownloadError, match="ended after 100000 of 300007 bytes"):
        fetch(base, "ranged", tmp_path)
    assert not (tmp_path / "f.gz").exists()
    monkeypatch.setattr(module, "_ATTEMPTS", 4)
    assert fetch(base, "ranged", tmp_path).read_bytes() == CONTENT
    assert Handler.asked[1][1] == "bytes=100000-"


def test_a_file_that_is_here_is_not_fetched(base: str, tmp_path: Path) -> None:
    fetch(base, "good", tmp_path)
    fetch(base, "absent", tmp_path)
    assert len(Handler.asked) == 1


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        ("corrupted", "not the official file: its MD5 is"),
        ("truncated", "ended after 1000 of 300007|could not be fetched"),
        ("absent", "replies 404"),
        ("busy", "replies 503"),
        ("endless", "more came than"),
    ],
)
def test_what_cannot_be_fetched_is_told_and_not_there(base, kind, match, tmp_path) -> None:
    with pytest.raises(DownloadError, match=match):
        fetch(base, kind, tmp_path)
    assert not (tmp_path / "f.gz").exists()


def test_a_corrupted_file_is_not_continued(base: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="thrown away"):
        fetch(base, "corrupted", tmp_path)
    assert fetch(base, "good", tmp_path).read_bytes() == CONTENT


def test_no_server(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="could not be fetched"):
        fetch("http://127.0.0.1:9/", "good", tmp_path)


def test_progress_names_the_licence_and_ends_at_the_whole(base: str, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    fetch(base, "ranged", tmp_path, lambda *step: told.append(step))
    assert told[-1] == ("downloading f (licence: none)", len(CONTENT), len(CONTENT))
    assert [step[1] for step in told] == sorted(step[1] for step in told)


def fetch_by_sha256(base: str, kind: str, folder: Path, digits: int = 8) -> Path:
    sha256 = hashlib.sha256(CONTENT).hexdigest()[:digits]
    return download(RemoteFile("f.pth", base + kind, None, sha256=sha256), folder, "downloading f")


@pytest.mark.parametrize("kind", ["good", "moved", "ranged", "changed", "unsatisfiable"])
def test_a_file_of_unknown_size_arrives_whole(base: str, kind: str, tmp_path: Path) -> None:
    assert fetch_by_sha256(base, kind, tmp_path).read_bytes() == CONTENT


def test_a_file_of_unknown_size_is_continued_later(base: str, tmp_path: Path, monkeypatch) -> None:
    from striate.data import download as module

    monkeypatch.setattr(module, "_ATTEMPTS", 1)
    with pytest.raises(DownloadError, match="ended after 100000 of 300007 bytes"):
        fetch_by_sha256(base, "ranged", tmp_path)
    monkeypatch.setattr(module, "_ATTEMPTS", 4)
    assert fetch_by_sha256(base, "ranged", tmp_path, 64).read_bytes() == CONTENT
    assert Handler.asked[1][1] == "bytes=100000-"


def test_what_came_whole_before_a_crash_is_not_fetched_again(base: str, tmp_path: Path) -> None:
    (tmp_path / "f.pth.partial").write_bytes(CONTENT)
    assert fetch_by_sha256(base, "absent", tmp_path).read_bytes() == CONTENT
    assert not Handler.asked


def test_another_sha256_is_refused(base: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"its SHA-256 is [0-9a-f]{64}, expected"):
        fetch_by_sha256(base, "corrupted", tmp_path)
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
    with pytest.raises(ValueError, match="without a checksum"):
        RemoteFile("f.pth", base, 7)


def test_the_folder_for_a_file_by_hand_is_the_one_that_is_read(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights are sought in $STRIATE_DATA/weights, official files in $STRIATE_DATA/mnist."""
    monkeypatch.delenv("STRIATE_DATA", raising=False)
    with pytest.raises(DownloadError, match=r"put the official file into \$STRIATE_DATA/weights\."):
        fetch_by_sha256(base, "corrupted", tmp_path / "weights")
    monkeypatch.setenv("STRIATE_DATA", "/data/sets")
    with pytest.raises(DownloadError, match="put the file into /data/sets/mnist by hand"):
        fetch_by_sha256(base, "absent", tmp_path / "mnist")
