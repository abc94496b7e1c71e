"""Streams of chance follow from their names alone."""

import torch

from striate.randomness import derive_seed, generator, layer_randomness


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
