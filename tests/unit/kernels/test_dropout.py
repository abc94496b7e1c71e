"""Dropout by Philox: the published answers, one mask for every way, its probability."""

import math

import pytest
import torch

from striate import kernels
from striate.errors import ConfigError
from striate.kernels.operators import dropout as operator
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
    assert operator.philox(counter, key) == answer


def test_the_numbers_by_torch_begin_with_the_published_answer():
    numbers = operator._numbers(128, 0)
    words = [int(numbers[2 * 16 * w]) + int(numbers[2 * 16 * w + 1]) * 2**16 for w in range(4)]
    assert words == ANSWERS[0][2]


@pytest.mark.parametrize("shape", [(1,), (127,), (128,), (129,), (3, 5, 7, 11), (40, 1000)])
def test_the_same_mask_in_float32_and_float64_and_memory_orders(instruction_set, shape):
    seed = torch.tensor(2**62 + 12345)
    x = torch.rand(shape) + 1
    mine = kernels.dropout(x, 0.3, seed)
    torch.testing.assert_close(mine.double(), kernels.dropout(x.double(), 0.3, seed))
    if len(shape) == 4:
        last = x.contiguous(memory_format=torch.channels_last)
        y = kernels.dropout(last, 0.3, seed)
        torch.testing.assert_close(y.double(), kernels.dropout(last.double(), 0.3, seed))
        flat = kernels.dropout(x.permute(0, 2, 3, 1).contiguous(), 0.3, seed)
        assert torch.equal(flat.permute(0, 3, 1, 2), y)


def test_share_scale_and_independence_of_neighbours():
    x = torch.ones(200_000)
    y = kernels.dropout(x, 0.3, torch.tensor(5))
    kept = (y > 0).double()
    # Standard deviations of a share of independent draws.
    assert abs(kept.mean() - 0.7) < 4 * math.sqrt(0.21 / len(x))
    assert y.max() == pytest.approx(1 / 0.7, rel=1e-4)
    for lag in (1, 2, 16, 32, 128):
        both = (kept[lag:] * kept[:-lag]).mean() - 0.49
        assert abs(both) < 5 * math.sqrt(0.49 * 0.51 / len(x))
    other = kernels.dropout(x, 0.3, torch.tensor(6)) > 0
    assert abs((other == (y > 0)).double().mean() - 0.58) < 0.006


def test_the_gradient_has_the_mask_of_the_output_whatever_its_memory_order():
    x = torch.rand(3, 5, 7, 2).contiguous(memory_format=torch.channels_last).requires_grad_()
    y = kernels.dropout(x, 0.4)
    (g,) = torch.autograd.grad(y, x, torch.ones(3, 5, 7, 2))
    torch.testing.assert_close(g * x, y)
    seed = torch.tensor(9)
    double = x.detach().double().requires_grad_()
    assert torch.autograd.gradcheck(lambda t: kernels.dropout(t, 0.4, seed), double)
    assert torch.autograd.gradgradcheck(lambda t: kernels.dropout(t, 0.4, seed), double)


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


def test_the_operator_passes_the_checks_of_torch():
    x = torch.rand(3, 5, 2, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    for last in (True, False):
        arguments = (x, torch.tensor(4), 0.25, last)
        torch.library.opcheck(torch.ops.striate.dropout, arguments, test_utils=checks)
