import pytest
import torch
from torch import nn

from striate.errors import CheckpointError, ConfigError
from striate.optim import Average


def network(width=3):
    chance = torch.Generator().manual_seed(width)
    built = nn.Sequential(nn.Conv1d(2, width, 2), nn.BatchNorm1d(width), nn.Linear(4, 2))
    built(torch.randn(5, 2, 5, generator=chance))
    return built.double()


def shake(built, seed):
    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in built.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(torch.randn(tensor.shape, generator=chance, dtype=tensor.dtype))
            else:
                tensor.add_(1)


def test_is_the_corrected_exponential_mean_with_changing_decay():
    built, decays = network(), (0.9, 0.5, 0.7, 0.99)
    average, states = Average(built), []
    for seed, decay in enumerate(decays):
        shake(built, seed)
        states.append({name: t.clone() for name, t in built.state_dict().items()})
        average.update(built, decay)
    shares = []
    for i, decay in enumerate(decays):
        share = 1 - decay
        for later in decays[i + 1 :]:
            share *= later
        shares.append(share)
    for name, tensor in average.weights().items():
        if tensor.is_floating_point():
            terms = [s * state[name] for s, state in zip(shares, states, strict=True)]
            expected = torch.stack(terms).sum(0) / sum(shares)
            torch.testing.assert_close(tensor, expected, rtol=1e-12, atol=1e-12)
            uncorrected = torch.stack(terms).sum(0)
            assert not torch.allclose(tensor, uncorrected, rtol=1e-3)


def test_first_update_copies_and_the_first_weights_never_count():
    built = network()
    average = Average(built)
    assert average.is_empty
    shake(built, 1)
    average.update(built, 0.999)
    assert not average.is_empty
    for name, tensor in built.state_dict().items():
        assert torch.equal(average.weights()[name], tensor)


def test_decay_of_one_minus_one_over_t_is_the_plain_mean():
    built, seen = network(), []
    average = Average(built)
    for t in range(1, 6):
        shake(built, t)
        seen.append(built[0].weight.detach().clone())
        average.update(built, 1 - 1 / t)
    expected = torch.stack(seen).mean(0)
    torch.testing.assert_close(average.weights()["0.weight"], expected, rtol=1e-12, atol=1e-12)


def test_floating_buffers_are_averaged_and_integer_ones_copied():
    built = network()
    average = Average(built)
    before = built[1].running_mean.clone()
    average.update(built, 0.5)
    shake(built, 3)
    average.update(built, 0.5)
    mixed = (before * 0.25 + built[1].running_mean * 0.5) / 0.75
    torch.testing.assert_close(average.weights()["1.running_mean"], mixed)
    assert average.weights()["1.num_batches_tracked"] == built[1].num_batches_tracked


def test_goes_on_bit_for_bit_from_its_state():
    built = network()
    one = Average(built)
    for seed in range(3):
        shake(built, seed)
        one.update(built, 0.9)
    other = Average(network())
    other.load_state_dict({name: t.clone() for name, t in one.state_dict().items()})
    for seed in range(3, 6):
        shake(built, seed)
        one.update(built, 0.8)
        other.update(built, 0.8)
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])


def test_network_gets_its_own_weights_back_exactly():
    built = network()
    average = Average(built)
    average.update(built, 0.9)
    shake(built, 2)
    own = {name: t.clone() for name, t in built.state_dict().items()}
    with average.inside(built):
        assert torch.equal(built[0].weight, average.weights()["0.weight"])
        assert not torch.equal(built[0].weight, own["0.weight"])
    with pytest.raises(KeyError, match="inside"), average.inside(built):
        raise KeyError("inside")
    for name, tensor in built.state_dict().items():
        assert torch.equal(tensor, own[name])


def test_sixteen_bit_weights_are_averaged_in_float32():
    built = nn.Linear(3, 1, bias=False).bfloat16()
    average = Average(built)
    with torch.no_grad():
        for value in (1.0, 1.0078125):
            built.weight.fill_(value)
            average.update(built, 0.9)
    assert average.weights()["weight"].dtype == torch.float32
    assert 1.0 < average.weights()["weight"][0, 0].item() < 1.0078125
    with average.inside(built):
        assert built.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_bad_decay_is_told(decay):
    built = network()
    with pytest.raises(ConfigError, match="decay of an average"):
        Average(built).update(built, decay)


def test_another_networks_state_is_refused():
    average = Average(network())
    with pytest.raises(CheckpointError, match="of shape"):
        average.load_state_dict(Average(network(4)).state_dict())
    with pytest.raises(CheckpointError, match="belongs to another network"):
        average.load_state_dict(Average(nn.Linear(2, 2)).state_dict())
    with pytest.raises(ConfigError, match="belongs to another network"):
        average.update(nn.Linear(2, 2), 0.5)
    spoilt = average.state_dict() | {"total": torch.tensor(float("nan"))}
    with pytest.raises(CheckpointError, match="not a finite number"):
        average.load_state_dict(spoilt)
