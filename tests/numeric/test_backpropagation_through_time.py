import math

import pytest
import torch

from striate.calculus.bptt import CELLS, decay_png, decay_text, gradient_decay, time_contributions
from striate.errors import ConfigError
from striate.layers.recurrent import SimpleRNNCell, unroll


@pytest.mark.parametrize("name", list(CELLS))
def test_a_shared_weight_sums_over_the_steps(name):
    torch.manual_seed(2)
    cell = CELLS[name](3, 5).double()
    x = torch.randn(7, 2, 3, dtype=torch.float64)

    def loss(outputs):
        return (outputs.sin() * torch.arange(1.0, 8.0, dtype=torch.float64)[:, None, None]).sum()

    expected = torch.autograd.grad(loss(unroll(cell, x)[0]), list(cell.parameters()))
    parts = time_contributions(cell, x, loss)
    for (parameter, whole), part in zip(
        zip(parts, expected, strict=True), parts.values(), strict=True
    ):
        assert part.shape == (7, *whole.shape), parameter
        torch.testing.assert_close(part.sum(0), whole, rtol=1e-10, atol=1e-13)
        with pytest.raises(AssertionError, match="not close"):
            torch.testing.assert_close(part[1:-1].sum(0), whole, rtol=1e-10, atol=1e-13)


def test_the_first_step_of_a_zero_state_gives_nothing_to_the_recurrent_weight():
    parts = time_contributions(SimpleRNNCell(3, 4), torch.randn(5, 2, 3), torch.sum)
    assert not parts["weight_hh"][0].any()
    assert parts["weight_ih"][0].any()


def test_a_linear_recurrence_fades_by_its_eigenvalue(monkeypatch):
    """Without the tanh, and with W_hh = λI, the gradient fades by exactly λ each step."""

    def step(self, x, state):
        return (x @ self.weight_ih.T + 0.8 * state[0],)

    monkeypatch.setattr(SimpleRNNCell, "step", step)
    (decay,) = gradient_decay(("simple",), num_steps=12, seeds=(3,))
    expected = 0.8 ** torch.arange(12, dtype=torch.float64)
    torch.testing.assert_close(decay.state[0], expected, rtol=1e-10, atol=0)
    assert decay.rate == pytest.approx(0.8, rel=1e-10)


def test_simple_cells_vanish_and_explode_and_lstms_remember():
    simple, gru, lstm = gradient_decay(num_steps=30, forget_bias=2.0, seeds=(0, 1, 2))
    assert simple.state.shape == (3, 30)
    # tanh' ≤ 1 and a spectral radius near 1/√3 = 0.58 for weights uniform in ±1/√H.
    assert simple.rate < 0.65
    assert simple.rate < gru.rate < lstm.rate < 1
    assert lstm.rate > 0.8
    (wild,) = gradient_decay(("simple",), num_steps=30, gain=4.0, seeds=(0, 1, 2))
    assert wild.rate > 1


def test_the_state_of_an_lstm_has_two_parts():
    (lstm,) = gradient_decay(("lstm",), num_steps=6, seeds=(1,))
    assert lstm.hidden[0, 0] == pytest.approx(1.0)  # the loss reads a unit direction of h
    assert (lstm.state > lstm.hidden).all()
    (simple,) = gradient_decay(("simple",), num_steps=6, seeds=(1,))
    assert torch.equal(simple.state, simple.hidden)


def test_text_and_picture(tmp_path):
    measured = gradient_decay(("simple", "gru"), num_steps=9, seeds=(0, 1))
    text = decay_text(measured)
    assert text.splitlines()[0].split() == ["distance", "simple", "gru"]
    assert "1.0e+00" in text
    assert "median of 2 seeds" in text
    path = tmp_path / "decay.png"
    decay_png(measured, path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_same_seed_gives_the_same_numbers_and_leaves_the_generator_alone():
    state = torch.random.get_rng_state()
    one = gradient_decay(("gru",), num_steps=4, seeds=(5,))[0].state
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(one, gradient_decay(("gru",), num_steps=4, seeds=(5,))[0].state)
    assert math.isclose(one[0, 0].item(), 1.0)


def test_unknown_cells_are_refused():
    with pytest.raises(ConfigError, match="Did you mean 'lstm'"):
        gradient_decay(("lsmt",))
    with pytest.raises(ConfigError, match="num_steps=0 must be 1 or more"):
        gradient_decay(num_steps=0)
