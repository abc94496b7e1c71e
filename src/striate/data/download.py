"""Fetch official files of data or weights: resumed where a cut left off, checked, then renamed."""

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from striate import durable
from striate.data.cache import read_json
from striate.data.source import Progress
from striate.errors import DownloadError

__all__ = ["RemoteFile", "download", "md5_of"]

_BLOCK = 2**16
_ATTEMPTS = 4
_TIMEOUT = 30.0  # seconds without a byte


@dataclass(frozen=True)
class RemoteFile:
    """One official file."""

    name: str
    url: str
    num_bytes: int | None
    """None where no size is published: the server's word is taken, and the digest decides."""
    md5: str = ""
    """Of the file as it is served; empty where `sha256` is published."""
    unpacked_md5: str | None = None
    """Of what the file holds when decompressed, which stays when somebody compresses it anew."""
    sha256: str = ""
    """The first digits of the SHA-256, as many as are published."""

    def __post_init__(self) -> None:
        if not (self.md5 or self.sha256):
            raise ValueError(f"{self.name}: a file without a checksum is not fetched.")

    def matches(self, path: Path) -> bool:
        """Whether a file has the published digest."""
        return _digest(self, path).startswith(self.sha256 or self.md5)


def download(file: RemoteFile, folder: Path, what: str, progress: Progress | None = None) -> Path:
    """The path of the file, fetched if it is not there; whole and checked, or not there at all.

    Args:
        file: what to fetch.
        folder: where it goes; an interrupted download is kept there and continued.
        what: the sentence for progress (names the set and its licence).
        progress: told the bytes that are here and those of the whole file.

    Raises:
        DownloadError: it cannot be fetched, or what came is not the official file.
    """
    target = folder / file.name
    if target.exists():
        return target
    with durable.lock(folder / f".{file.name}.lock", wait=True, taken=""):
        if target.exists():
            return target
        partial = folder / f"{file.name}.partial"
        _fetch(file, partial, what, progress)
        if not file.matches(partial):
            kind, expected = ("SHA-256", file.sha256) if file.sha256 else ("MD5", file.md5)
            found = _digest(file, partial)
            _forget(partial)
            raise DownloadError(
                f"What came from {file.url} is not the official file: its {kind} is {found}, "
                f"expected {expected}. It was thrown away; try again later, or put the official "
                f"file into $STRIATE_DATA."
            )
        _forget_tag(partial)
        os.replace(partial, target)
        durable.sync_folder(folder)
        return target


def _digest(file: RemoteFile, path: Path) -> str:
    if not file.sha256:
        return md5_of(path)
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def md5_of(path: Path) -> str:
    """MD5 of a file: tells damage, not malice; it is what the official places publish."""
    with open(path, "rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False))
    return digest.hexdigest()


def _fetch(file: RemoteFile, partial: Path, what: str, progress: Progress | None) -> None:
    """Bring `partial` to its full size, in several attempts that continue one another."""
    last, size = "", file.num_bytes
    if size is None and partial.exists() and file.matches(partial):
        return
    for _ in range(_ATTEMPTS):
        have = partial.stat().st_size if partial.exists() else 0
        if size is not None and have > size:
            _forget(partial)
            have = 0
        if have == size:
            return
        try:
            size = _attempt(file, partial, have, what, progress)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:  # what is here does not fit what the server has now
                _forget(partial)
            elif error.code < 500:
                raise DownloadError(_failed(file, f"the server answers {error.code}")) from error
            last = f"the server answers {error.code} {error.reason}"
        except (OSError, http.client.HTTPException) as error:
            last = str(getattr(error, "reason", error)) or type(error).__name__
        else:
            have = partial.stat().st_size
            if size is None or have == size:
                return
            last = f"the connection ended after {have} of {size} bytes"
    raise DownloadError(_failed(file, last))


def _attempt(
    file: RemoteFile, partial: Path, have: int, what: str, progress: Progress | None
) -> int | None:
    """One request; the size of the whole file, None where neither we nor the server know it."""
    request = urllib.request.Request(file.url, headers={"User-Agent": "striate"})
    tag = read_json(_tag_path(partial))
    if have and isinstance(tag, str):
        request.add_header("Range", f"bytes={have}-")
        # The rest is sent only if the file is still the one that the first part came from.
        request.add_header("If-Range", tag)
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
        resumed = answer.status == 206 and _starts_at(answer.headers, have)
        if not resumed:
            have = 0
        new_tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        if new_tag and not new_tag.startswith("W/"):
            durable.write_json(_tag_path(partial), new_tag)
        elif not resumed:
            _forget_tag(partial)
        size = file.num_bytes
        length = answer.headers.get("Content-Length", "")
        if size is None and length.isdigit():
            size = have + int(length)
        with open(partial, "ab" if resumed else "wb") as stream:
            _copy(file, answer, stream, (have, size), what, progress)
    return size


def _copy(
    file: RemoteFile,
    answer: Any,
    stream: IO[bytes],
    place: tuple[int, int | None],
    what: str,
    progress: Progress | None,
) -> None:
    have, size = place
    try:
        while block := answer.read(_BLOCK):
            have += len(block)
            if size is not None and have > size:
                raise DownloadError(_failed(file, f"more came than the {size} bytes that it has"))
            stream.write(block)
            if progress and size is not None:
                progress(what, have, size)
    finally:
        stream.flush()
        os.fsync(stream.fileno())


def _starts_at(headers: Any, have: int) -> bool:
    return str(headers.get("Content-Range", "")).startswith(f"bytes {have}-")


def _tag_path(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.tag")


def _forget_tag(partial: Path) -> None:
    _tag_path(partial).unlink(missing_ok=True)


def _forget(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    _forget_tag(partial)


def _failed(file: RemoteFile, reason: str) -> str:
    return (
        f"{file.url} could not be fetched: {reason}. Check the network and repeat (what has come "
        "is kept and continued), or put the file into $STRIATE_DATA by hand."
    )
