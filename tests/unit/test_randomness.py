"""Streams of chance follow from their names alone."""

import numpy as np
import torch

from striate.randomness import coins, derive_seed, generator, layer_randomness


def test_streams_differ_by_every_part_of_their_name():
    seeds = {
        derive_seed(*name)
        for name in [(0,), (1,), (0, "a"), (0, "b"), (0, "a", 1), (0, "a", 11), (0, "a1", 1)]
    }
    assert len(seeds) == 7
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_stream_is_the_same_in_every_process():
    # The first bytes of BLAKE2b over "7", unit separator, "order", unit separator, "3".
    assert derive_seed(7, "order", 3) == derive_seed(7, "order", 3)
    import hashlib

    digest = hashlib.blake2b(b"7\x1forder\x1f3", digest_size=8).digest()
    assert derive_seed(7, "order", 3) == int.from_bytes(digest, "little") >> 1


def test_layers_draw_from_the_stream_and_the_callers_state_comes_back():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with layer_randomness(3, "layers", 9):
        inside = torch.rand(4)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(inside, torch.rand(4, generator=generator(3, "layers", 9)))


def test_coins_are_fair_independent_and_bound_to_their_numbers():
    numbers = np.arange(40_000)
    thrown = coins(numbers, 3, "first")
    assert np.array_equal(thrown[100:200], coins(numbers[100:200], 3, "first"))
    for other in (coins(numbers, 4, "first"), coins(numbers, 3, "second"), np.roll(thrown, 1)):
        assert abs((thrown == other).mean() - 0.5) < 0.015  # six standard deviations
    assert abs(thrown.mean() - 0.5) < 0.015
    # SplitMix64's published first outputs for the seed 1234567 end in these top bits.
    state = np.uint64(1234567) + np.arange(1, 6, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    published += [4593380528125082431, 16408922859458223821]
    start = np.uint64(derive_seed(0, "known"))
    assert coins(state - start, 0, "known").tolist() == [value >= 2**63 for value in published]
