"""Dropout by Philox: the published answers, one mask for every way, its probability."""

import ctypes
import math

import pytest
import torch

from striate import kernels
from striate.errors import ConfigError
from striate.kernels.library import ISAS
from striate.kernels.operators.native import POINTER, call
from striate.randomness import layer_randomness

# Salmon et al., Random123 1.x, kat_vectors: philox4x32 10.
ANSWERS = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([2**32 - 1] * 4, [2**32 - 1] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), ANSWERS)
def test_the_generator_gives_the_published_answers(instruction_set, counter, key, answer):
    words = [(ctypes.c_uint32 * len(v))(*v) for v in (counter, key, [0] * 4)]
    call("dropout_philox", (POINTER,) * 3, *(ctypes.addressof(w) for w in words))
    assert list(words[2]) == answer


@pytest.fixture
def seeded(monkeypatch):
    """Dropout of a given seed."""

    def run(x, p, seed):
        with monkeypatch.context() as patch:
            patch.setattr(torch.Tensor, "random_", lambda self: self.fill_(seed))
            return kernels.dropout(x, p)

    return run


@pytest.mark.parametrize("instruction_set", ISAS, indirect=True)
def test_the_mask_is_the_published_generators(instruction_set, seeded):
    """The first 128 values take the 16-bit halves of the words of counters 0 to 15."""
    kept = seeded(torch.ones(128), 0.5, 0) > 0
    for word, number in enumerate(ANSWERS[0][2]):
        for half in range(2):
            assert kept[2 * 16 * word + half] == ((number >> 16 * half & 0xFFFF) < 2**15)


@pytest.mark.parametrize("shape", [(1,), (127,), (128,), (129,), (3, 5, 7, 11), (40, 1000)])
def test_the_same_mask_for_every_instruction_set_and_in_memory_order(shape, seeded, monkeypatch):
    seed, x, masks = 2**62 + 12345, torch.rand(shape) + 1, []
    for name in ISAS:
        monkeypatch.setenv("STRIATE_ISA", name)
        try:
            if not kernels.available():
                pytest.skip(kernels.why_not())
        except ConfigError:
            continue
        masks.append(seeded(x, 0.3, seed))
        if len(shape) == 4:
            y = seeded(x.contiguous(memory_format=torch.channels_last), 0.3, seed)
            flat = seeded(x.permute(0, 2, 3, 1).contiguous(), 0.3, seed)
            assert torch.equal(flat.permute(0, 3, 1, 2), y)
    assert all(torch.equal(mask, masks[0]) for mask in masks)


def test_share_scale_and_independence_of_neighbours(seeded):
    x = torch.ones(200_000)
    y = seeded(x, 0.3, 5)
    kept = (y > 0).double()
    # Standard deviations of a share of independent draws.
    assert abs(kept.mean() - 0.7) < 4 * math.sqrt(0.21 / len(x))
    assert y.max() == pytest.approx(1 / 0.7, rel=1e-4)
    for lag in (1, 2, 16, 32, 128):
        both = (kept[lag:] * kept[:-lag]).mean() - 0.49
        assert abs(both) < 5 * math.sqrt(0.49 * 0.51 / len(x))
    other = seeded(x, 0.3, 6) > 0
    assert abs((other == (y > 0)).double().mean() - 0.58) < 0.006


def test_the_gradient_has_the_mask_of_the_output_whatever_its_memory_order():
    x = torch.rand(3, 5, 7, 2).contiguous(memory_format=torch.channels_last).requires_grad_()
    y = kernels.dropout(x, 0.4)
    (g,) = torch.autograd.grad(y, x, torch.ones(3, 5, 7, 2))
    torch.testing.assert_close(g * x, y)


def test_the_gradient_of_the_gradient_is_masked_too(seeded):
    x = torch.rand(3, 50, requires_grad=True)
    y = seeded(x, 0.4, 9)
    (g,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(g.sum(), x)
    scale = y.detach() / x.detach()
    torch.testing.assert_close(second, 2 * scale.square())


def test_a_named_stream_repeats_the_mask_for_any_number_of_threads():
    x, found = torch.rand(70, 1001), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            with layer_randomness(3, "layers", 7):
                found.append((kernels.dropout(x), kernels.dropout(x)))
    finally:
        torch.set_num_threads(1)
    assert all(torch.equal(a, b) for one in found for a, b in zip(one, found[0], strict=True))
    assert not torch.equal(*found[0])


def test_nothing_everything_and_no_probability():
    x = torch.rand(3, 300)
    assert torch.equal(kernels.dropout(x, 0.0), x)
    assert not kernels.dropout(x, 1.0).any()
    assert kernels.dropout(torch.empty(0, 3)).shape == (0, 3)
    with pytest.raises(ConfigError, match="no probability"):
        kernels.dropout(x, 1.5)
