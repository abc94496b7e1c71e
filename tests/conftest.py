"""What every test gets: its own cache and home, one thread, no network."""

import os
import secrets
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from jaxtyping import install_import_hook

install_import_hook("striate", "typecheck.checker")


def pytest_configure() -> None:
    """Draw the seed of the damaged files once, for all processes of the tests."""
    os.environ.setdefault("STRIATE_DAMAGE_SEED", str(secrets.randbelow(2**32)))


def pytest_report_header() -> str:
    return f"damaged files: STRIATE_DAMAGE_SEED={os.environ['STRIATE_DAMAGE_SEED']}"


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Two test processes share two cores; sums do not depend on the machine's cores."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_places(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read from or left in the user's folders."""
    places = tmp_path_factory.mktemp("places")
    monkeypatch.setenv("STRIATE_CACHE", str(places / "cache"))
    monkeypatch.setenv("STRIATE_HOME", str(places / "home"))


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only this machine's own servers can be reached."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"tests do not use the network; {address} was asked for")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(params=["generic", "avx2", "avx512"])
def instruction_set(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every instruction set that was built and that this processor runs; "none" is torch alone."""
    from striate.errors import ConfigError
    from striate.kernels import library

    monkeypatch.setenv("STRIATE_ISA", request.param)
    try:
        if request.param != "none" and not library.available():
            pytest.skip(library.why_not())
    except ConfigError as error:
        pytest.skip(str(error))
    return str(request.param)


@pytest.fixture
def real_data() -> Path:
    """The folder of real sets, or a skip that says what is missing."""
    named = os.environ.get("STRIATE_DATA")
    if not named or not Path(named).is_dir():
        pytest.skip("needs real sets: set STRIATE_DATA to their folder")
    return Path(named)
