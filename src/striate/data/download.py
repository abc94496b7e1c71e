"""Fetch official files of data or weights: resumed where a cut left off, checked, then renamed."""

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from striate import durable, locks
from striate.data.cache import read_json
from striate.data.source import Progress
from striate.errors import DownloadError, StorageError
from striate.folders import data_dir

_BLOCK = 2**16
_ATTEMPTS = 4
_TIMEOUT = 30.0  # seconds without a byte


@dataclass(frozen=True)
class RemoteFile:
    """An official file."""

    name: str
    url: str
    num_bytes: int | None
    """None where no size is published: the server's word is taken, and the digest decides."""
    md5: str = ""
    """MD5 of the file as it is served; empty where `sha256` is published."""
    unpacked_md5: str | None = None
    """MD5 of the decompressed content, which stays when somebody compresses it anew."""
    sha256: str = ""
    """First digits of the SHA-256, as many as are published."""

    def __post_init__(self) -> None:
        if not (self.md5 or self.sha256):
            raise ValueError(f"{self.name}: a file without a checksum is not fetched.")

    def digest(self, path: Path) -> str:
        """Digest of a file by the published method; MD5 detects damage, not malice."""
        new = hashlib.sha256 if self.sha256 else lambda: hashlib.md5(usedforsecurity=False)
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, new).hexdigest()

    def matches(self, path: Path) -> bool:
        """Whether a file has the published digest."""
        return self.digest(path).startswith(self.sha256 or self.md5)


def download(file: RemoteFile, folder: Path, what: str, progress: Progress | None = None) -> Path:
    """Fetch a file if it is not there; it is whole and checked, or not there at all.

    Args:
        file: File to fetch.
        folder: Folder of the file; an interrupted download is kept there and resumed.
        what: Sentence for progress, with the set's name and licence.
        progress: Receives the bytes that are here and those of the whole file.

    Raises:
        DownloadError: The file cannot be fetched, or what came is not the official one.
    """
    target = folder / file.name
    if target.exists():
        return target
    with locks.lock(folder / f".{file.name}.lock", wait=True, taken=""):
        if target.exists():
            return target
        partial = folder / f"{file.name}.partial"
        _fetch(file, partial, what, progress)
        if not file.matches(partial):
            kind, expected = ("SHA-256", file.sha256) if file.sha256 else ("MD5", file.md5)
            digest = file.digest(partial)
            _discard(partial)
            raise DownloadError(
                f"What came from {file.url} is not the official file: its {kind} is {digest}, "
                f"expected {expected}. It was thrown away; try again later, or put the official "
                f"file into {_by_hand(folder)}."
            )
        _tag_path(partial).unlink(missing_ok=True)
        os.replace(partial, target)
        durable.sync_folder(folder)
        return target


def _fetch(file: RemoteFile, partial: Path, what: str, progress: Progress | None) -> None:
    """Bring `partial` to its full size, in several attempts that continue one another."""
    reason, size = "", file.num_bytes
    if size is None and partial.exists() and file.matches(partial):
        return
    for _ in range(_ATTEMPTS):
        have = partial.stat().st_size if partial.exists() else 0
        if size is not None and have > size:
            _discard(partial)
            have = 0
        if have == size:
            return
        try:
            size = _attempt(file, partial, have, what, progress)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:  # what is here does not fit what the server has now
                _discard(partial)
            elif error.code < 500:
                raise DownloadError(
                    _failed(file, partial.parent, f"the server replies {error.code}")
                ) from error
            reason = f"the server replies {error.code} {error.reason}"
        except StorageError:
            raise
        except (OSError, http.client.HTTPException) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        else:
            have = partial.stat().st_size
            if size is None or have == size:
                return
            reason = f"the connection ended after {have} of {size} bytes"
    raise DownloadError(_failed(file, partial.parent, reason))


def _attempt(
    file: RemoteFile, partial: Path, have: int, what: str, progress: Progress | None
) -> int | None:
    """Send one request, and return the whole file's size, None where nobody knows it."""
    request = urllib.request.Request(file.url, headers={"User-Agent": "striate"})
    tag = read_json(_tag_path(partial))
    if have and isinstance(tag, str):
        request.add_header("Range", f"bytes={have}-")
        # The rest is sent only if the file is still the one that the first part came from.
        request.add_header("If-Range", tag)
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
        start = str(response.headers.get("Content-Range", ""))
        resumed = response.status == 206 and start.startswith(f"bytes {have}-")
        if not resumed:
            have = 0
        new_tag = response.headers.get("ETag") or response.headers.get("Last-Modified")
        if new_tag and not new_tag.startswith("W/"):
            durable.write_json(_tag_path(partial), new_tag)
        elif not resumed:
            _tag_path(partial).unlink(missing_ok=True)
        size = file.num_bytes
        length = response.headers.get("Content-Length", "")
        if size is None and length.isdigit():
            size = have + int(length)
        with open(partial, "ab" if resumed else "wb") as stream:
            try:
                while block := response.read(_BLOCK):
                    have += len(block)
                    if size is not None and have > size:
                        reason = f"more came than the {size} bytes that it has"
                        raise DownloadError(_failed(file, partial.parent, reason))
                    with durable.explaining(partial, "written"):
                        stream.write(block)
                    if progress and size is not None:
                        progress(what, have, size)
            finally:
                with durable.explaining(partial, "written"):
                    stream.flush()
                    os.fsync(stream.fileno())
    return size


def _tag_path(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.tag")


def _discard(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    _tag_path(partial).unlink(missing_ok=True)


def _failed(file: RemoteFile, folder: Path, reason: str) -> str:
    return (
        f"{file.url} could not be fetched: {reason}. Check the network and repeat (what has come "
        f"is kept and continued), or put the file into {_by_hand(folder)} by hand."
    )


def _by_hand(folder: Path) -> str:
    """The folder in which a file is sought before it is downloaded: of a named set, or weights."""
    return f"{data_dir() or '$STRIATE_DATA'}/{folder.name}"
