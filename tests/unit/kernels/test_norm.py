"""norm_act as an operator: modes of torch, running statistics, determinism, errors."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from striate import kernels
from striate.errors import ConfigError, ShapeError

LAST = torch.channels_last


def images(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(7)).contiguous(
        memory_format=LAST
    )


@pytest.mark.parametrize("momentum", [0.2, None])
def test_a_module_keeps_its_statistics_as_torch_does(momentum):
    mine, theirs = (nn.BatchNorm2d(5, momentum=momentum) for _ in range(2))
    for step in range(3):
        x = images(4, 5, 6, 3) * (step + 1)
        y = kernels.batch_norm_act(mine, x, "relu")
        torch.testing.assert_close(y, F.relu(theirs(x)), rtol=1e-5, atol=1e-6)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(mine.state_dict()[name], value, rtol=1e-6, atol=1e-6)
    mine.eval(), theirs.eval()
    torch.testing.assert_close(kernels.batch_norm_act(mine, x), theirs(x), rtol=1e-5, atol=1e-6)


def test_same_bits_twice_and_for_any_number_of_threads():
    x, grad = images(32, 24, 19, 17), images(32, 24, 19, 17)

    def run(threads):
        torch.set_num_threads(threads)
        leaf = x.clone().requires_grad_()
        y = kernels.norm_act(leaf, activation="gelu")
        return y.detach(), torch.autograd.grad(y, leaf, grad)[0]

    try:
        first = run(1)
        for threads in (1, 2, 3):
            for a, b in zip(first, run(threads), strict=True):
                assert torch.equal(a, b)
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("wanted", ["x", "weight", "bias", "residual"])
def test_only_what_is_asked_for_gets_a_gradient(wanted):
    inputs = {
        "x": images(2, 3, 5, 4),
        "residual": images(2, 3, 5, 4) + 1,
        "weight": torch.rand(3),
        "bias": torch.rand(3),
    }
    inputs[wanted].requires_grad_()
    exact = {name: t.detach().double() for name, t in inputs.items()}
    exact[wanted].requires_grad_()
    kernels.norm_act(**inputs, activation="silu").square().sum().backward()
    kernels.norm_act(**exact, activation="silu").square().sum().backward()
    torch.testing.assert_close(
        inputs[wanted].grad.double(), exact[wanted].grad, rtol=1e-4, atol=1e-4
    )
    assert all(t.grad is None for name, t in inputs.items() if name != wanted)


def test_what_is_no_number_stays_visible():
    x = images(2, 3, 4, 5)
    x[0, 1, 2, 3] = float("nan")
    for activation in ("relu", "gelu", "gelu_tanh", "silu", "relu6"):
        y = kernels.norm_act(x, activation=activation)
        assert y[:, 1].isnan().all()
        assert not y[:, [0, 2]].isnan().any()


def test_relu6_is_cut_at_both_ends_and_flat_there():
    x = images(3, 5, 4, 4).requires_grad_()
    scale = torch.full((5,), 7.0)
    y = kernels.norm_act(x, weight=scale, activation="relu6")
    weights = images(3, 5, 4, 4)
    (y * weights).sum().backward()
    exact = x.detach().double().requires_grad_()
    z = F.batch_norm(exact, None, None, scale.double(), training=True)
    (F.relu6(z) * weights.double()).sum().backward()
    assert (y == 0).any()
    assert (y == 6).any()
    torch.testing.assert_close(y.double(), F.relu6(z), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(x.grad.double(), exact.grad, rtol=1e-4, atol=1e-5)


def test_meta_vmap_func_grad_and_autocast():
    meta = kernels.norm_act(torch.empty(2, 3, 4, 5, device="meta"), activation="relu")
    assert meta.shape == (2, 3, 4, 5)
    x = images(4, 3, 5, 2)
    many = torch.func.vmap(lambda v: kernels.norm_act(v, activation="gelu"))(x[:, None])
    for i in range(4):
        one = kernels.norm_act(x[i : i + 1], activation="gelu")
        torch.testing.assert_close(many[i], one, rtol=1e-5, atol=1e-5)
    by_func = torch.func.grad(lambda v: kernels.norm_act(v, activation="gelu").pow(3).sum())(x)
    leaf = x.clone().requires_grad_()
    kernels.norm_act(leaf, activation="gelu").pow(3).sum().backward()
    torch.testing.assert_close(by_func, leaf.grad, rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(kernels.norm_act(x), F.batch_norm(x, None, None, training=True))


def test_exports_as_the_ordinary_operators():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(3)

        def forward(self, x):
            return kernels.batch_norm_act(self.norm, x, "relu")

    block, x = Block().eval(), images(2, 3, 4, 5)
    program = torch.export.export(block, (x,))
    assert "aten.batch_norm" in program.graph_module.code
    torch.testing.assert_close(program.module()(x), block(x))


def test_statistics_are_kept_only_where_the_module_keeps_them():
    mine, theirs = (nn.BatchNorm2d(5) for _ in range(2))
    mine.track_running_stats = theirs.track_running_stats = False
    x = images(4, 5, 6, 3)
    torch.testing.assert_close(kernels.batch_norm_act(mine, x), theirs(x), rtol=1e-5, atol=1e-6)
    for name, value in theirs.state_dict().items():
        assert torch.equal(mine.state_dict()[name], value)


def test_mistakes_are_told():
    with pytest.raises(ConfigError, match="gellu"):
        kernels.norm_act(images(2, 3, 4, 5), activation="gellu")
    with pytest.raises(ShapeError, match="one value a channel"):
        kernels.norm_act(images(1, 3, 1, 1))


def test_statistics_of_another_type_are_not_read_as_if_they_were_float32():
    x, mean = images(2, 32, 5, 6), torch.zeros(32)
    variance = torch.linspace(0.5, 2, 32)
    with pytest.raises(RuntimeError, match="found Double"):
        kernels.norm_act(x, None, None, mean, variance.double(), False)
