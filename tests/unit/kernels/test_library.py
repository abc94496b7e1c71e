"""The library is found, runs on torch's threads, and its absence is said once."""

import ctypes
import logging

import pytest
import torch

from striate.errors import ConfigError
from striate.kernels import library

P, N, F, T = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float, ctypes.c_int


@pytest.fixture
def native(instruction_set):
    return library.load()


@pytest.mark.parametrize("openmp", [True, False])
@pytest.mark.parametrize(("size", "threads"), [(0, 1), (1, 3), (17, 2), (1009, 5)])
def test_every_element_is_worked_on_once(native, size, threads, openmp):
    start = library._openmp_start()
    native.function("striate_use_openmp", [P])(start if openmp else None)
    scale = native.function("striate_library_scale", [P, P, N, F, T])
    x, y = torch.randn(size), torch.full((size + 20,), 7.0)
    assert scale(x.data_ptr(), y.data_ptr(), size, 1.5, threads) == 0
    native.function("striate_use_openmp", [P])(start)
    assert torch.equal(y[:size], 1.5 * x)
    assert (y[size:] == 7).all()


def test_impossible_arguments_are_refused(native):
    scale = native.function("striate_library_scale", [P, P, N, F, T])
    x = torch.zeros(3)
    assert scale(x.data_ptr(), x.data_ptr(), -1, 1.0, 1) != 0
    assert scale(x.data_ptr(), x.data_ptr(), 3, 1.0, 0) != 0
    assert scale(None, x.data_ptr(), 3, 1.0, 1) != 0


def test_torch_runs_openmp_and_it_is_found():
    if "OpenMP" not in torch.__config__.parallel_info().partition("ATen parallel backend")[2]:
        pytest.skip("this torch has another thread runtime")
    assert library._openmp_start()


def test_unknown_instruction_set_is_refused(monkeypatch):
    monkeypatch.setenv("STRIATE_ISA", "mmx")
    with pytest.raises(ConfigError, match="STRIATE_ISA='mmx' is unknown: use generic, avx2"):
        library.available()


def test_switched_off(monkeypatch):
    monkeypatch.setenv("STRIATE_ISA", "none")
    assert not library.available()
    assert library.isa() == "none"
    assert "switched off" in library.why_not()


def test_missing_library_is_said_once(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(library, "_FOLDER", tmp_path)
    monkeypatch.delenv("STRIATE_ISA", raising=False)
    library._chosen.cache_clear()
    library._say_once.cache_clear()
    with caplog.at_level(logging.WARNING, "striate"):
        assert library.load() is None
        assert library.load() is None
    library._chosen.cache_clear()
    [record] = caplog.records
    assert "C++ compiler" in record.message
