"""Each optimiser against its paper's update rule, written out here in plain numbers.

Fifty steps in float64 on a function whose gradient has no pattern to hide behind; the two ways
agree to 1e-12 relative. Each rule has a twin with one term broken, which must be told apart.
"""

import itertools
import math

import numpy as np
import pytest
import torch

from striate.optim import OPTIMISERS, evaluation_weights
from striate.optim.muon import COEFFICIENTS, RMS_OF_ADAMW
from striate.registry import Pick

STEPS = 50
START = np.array([0.9, -1.7, 2.3, 0.4, -0.6])
CURVATURE = np.array([0.31, 2.9, 0.07, 1.3, 5.1])
SLANT = np.array([0.21, -0.13, 0.34, 0.05, -0.55])


@pytest.fixture(autouse=True)
def double_scalars():
    """ASGD and NAdam of torch keep their scalars (η_t, Π μ_t) in the default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def gradient(x):
    """Of Σ c x²/2 + sin(x + s): different on each axis, changing along the way."""
    return CURVATURE * x + np.cos(x + SLANT)


def ours(name, steps=STEPS, **options):
    point = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    optimiser = OPTIMISERS.build(Pick(name, **options), [point])
    for _ in range(steps):
        point.grad = torch.from_numpy(gradient(point.detach().numpy()))
        optimiser.step()
    with evaluation_weights(optimiser):
        return point.detach().numpy().copy()


def apart(a, b):
    return np.abs(a - b).max() / np.abs(b).max()


def sgd(lr, momentum=0.9, nesterov=True, weight_decay=0.0, broken=False):
    x, v = START.copy(), np.zeros(5)
    for _ in range(STEPS):
        g = gradient(x) + weight_decay * x
        v = momentum * v + g
        x = x - lr * (g + momentum * v if nesterov and not broken else v if not broken else g)
    return x


def heavy_ball(lr, momentum, weight_decay=0.0, broken=False):
    # Polyak's own form, with the difference of points: x' = x − η g + μ (x − x_before).
    x, before = START.copy(), START.copy()
    for _ in range(STEPS):
        g = gradient(x) + weight_decay * x
        x, before = x - lr * g + (0 if broken else momentum) * (x - before), x
    return x


def plain(lr, weight_decay=0.0, broken=False):
    x = START.copy()
    for _ in range(STEPS):
        x = x - lr * (gradient(x) + (0 if broken else weight_decay) * x)
    return x


def asgd(lr, lambd, alpha, t0, weight_decay=0.0, broken=False):
    x, eta, seen = START.copy(), lr, []
    for t in range(1, STEPS + 1):
        g = gradient(x) + weight_decay * x
        x = x * (1 - (0 if broken else lambd) * eta) - eta * g
        eta = lr / (1 + lambd * lr * t) ** alpha
        seen.append(x)
    return np.mean(seen[t0:], axis=0) if t0 < STEPS else x


def adagrad(lr, lr_decay, eps, weight_decay=0.0, broken=False):
    x, total = START.copy(), np.zeros(5)
    for t in range(STEPS):
        g = gradient(x) + weight_decay * x
        total = total + g**2 if not broken else g**2
        x = x - lr / (1 + t * lr_decay) * g / (np.sqrt(total) + eps)
    return x


def adadelta(lr, rho, eps, weight_decay=0.0, broken=False):
    x, square, moved = START.copy(), np.zeros(5), np.zeros(5)
    for _ in range(STEPS):
        g = gradient(x) + weight_decay * x
        square = rho * square + (1 - rho) * g**2
        change = -np.sqrt(moved + eps) / np.sqrt(square + eps) * g
        moved = rho * moved + (1 - rho) * change**2 if not broken else moved
        x = x + lr * change
    return x


def rmsprop(lr, alpha, momentum, centred, eps=1e-8, weight_decay=0.0, broken=False):
    x, square, mean, v = START.copy(), np.zeros(5), np.zeros(5), np.zeros(5)
    for _ in range(STEPS):
        g = gradient(x) + weight_decay * x
        square = alpha * square + (1 - alpha) * g**2
        mean = alpha * mean + (1 - alpha) * g
        root = np.sqrt(square - mean**2 if centred else square) + eps
        v = momentum * v + g / (1 if broken else root)
        x = x - lr * v
    return x


def adam(lr, betas, eps, weight_decay=0.0, broken=False, decoupled=False):
    x, m, v = START.copy(), np.zeros(5), np.zeros(5)
    for t in range(1, STEPS + 1):
        g = gradient(x)
        if decoupled:
            x = x - lr * weight_decay * x
        else:
            g = g + weight_decay * x
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        first, second = (1, 1) if broken else (1 - betas[0] ** t, 1 - betas[1] ** t)
        x = x - lr * (m / first) / (np.sqrt(v / second) + eps)
    return x


def adamw(**options):
    return adam(decoupled=True, **options)


def nadam(lr, betas, momentum_decay, eps=1e-8, weight_decay=0.0, broken=False):
    x, m, v, product = START.copy(), np.zeros(5), np.zeros(5), 1.0
    for t in range(1, STEPS + 1):
        g = gradient(x)
        x = x - lr * weight_decay * x
        now = betas[0] * (1 - 0.5 * 0.96 ** (t * momentum_decay))
        after = betas[0] * (1 - 0.5 * 0.96 ** ((t + 1) * momentum_decay))
        product *= now
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        ahead = m / (1 - product * (1 if broken else after)) * after
        root = np.sqrt(v / (1 - betas[1] ** t)) + eps
        x = x - lr * (ahead + (1 - now) * g / (1 - product)) / root
    return x


def schedule_free_sgd(lr, momentum, weight_decay=0.0, broken=False):
    # z takes the steps, x is its mean, y is where gradients are taken.
    z, x = START.copy(), START.copy()
    for t in range(1, STEPS + 1):
        y = (1 - momentum) * z + momentum * x
        z = z - lr * (gradient(y) + weight_decay * y)
        x = (1 - 1 / t) * x + z / t if not broken else z
    return x


def schedule_free_adamw(lr, betas, eps=1e-8, weight_decay=0.0, broken=False):
    z, x, v = START.copy(), START.copy(), np.zeros(5)
    for t in range(1, STEPS + 1):
        y = (1 - betas[0]) * z + betas[0] * x
        g = gradient(y)
        v = betas[1] * v + (1 - betas[1]) * g**2
        root = np.sqrt(v / (1 if broken else 1 - betas[1] ** t)) + eps
        z = z - lr * (g / root + weight_decay * y)
        x = (1 - 1 / t) * x + z / t
    return x


def grid(**axes):
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


DECAYS = (0.0, 0.07)
BETAS = ((0.9, 0.999), (0.5, 0.9))
CASES = {
    "gradient_descent": (plain, grid(lr=(0.01, 0.2), weight_decay=(0.03, 0.2))),
    "momentum": (
        heavy_ball,
        grid(lr=(0.01, 0.1), momentum=(0.5, 0.95), weight_decay=DECAYS),
    ),
    "sgd": (
        sgd,
        grid(lr=(0.01, 0.1), momentum=(0.5, 0.95), nesterov=(True, False), weight_decay=DECAYS),
    ),
    "asgd": (
        asgd,
        grid(
            lr=(0.05, 0.2),
            lambd=(1e-2, 0.1),
            alpha=(0.5, 0.75),
            t0=(0, 11, 100),
            weight_decay=DECAYS,
        ),
    ),
    "adagrad": (
        adagrad,
        grid(lr=(0.01, 0.5), lr_decay=(0.0, 0.1), eps=(1e-10, 1e-3), weight_decay=DECAYS),
    ),
    "adadelta": (
        adadelta,
        grid(lr=(0.5, 1.0), rho=(0.9, 0.95), eps=(1e-6, 1e-3), weight_decay=DECAYS),
    ),
    "rmsprop": (
        rmsprop,
        grid(
            lr=(0.001, 0.03),
            alpha=(0.9, 0.99),
            momentum=(0.0, 0.9),
            centred=(True, False),
            weight_decay=DECAYS,
        ),
    ),
    "adam": (
        adam,
        grid(lr=(0.001, 0.02), betas=BETAS, eps=(1e-8, 0.1), weight_decay=DECAYS),
    ),
    "adamw": (
        adamw,
        grid(lr=(0.001, 0.02), betas=BETAS, eps=(1e-8, 0.1), weight_decay=DECAYS),
    ),
    "nadam": (
        nadam,
        grid(
            lr=(0.001, 0.02),
            betas=BETAS,
            momentum_decay=(4e-3, 0.1),
            weight_decay=DECAYS,
        ),
    ),
    "schedule_free_sgd": (
        schedule_free_sgd,
        grid(lr=(0.05, 0.3), momentum=(0.5, 0.9), weight_decay=DECAYS),
    ),
    "schedule_free_adamw": (
        schedule_free_adamw,
        grid(lr=(0.01, 0.05), betas=BETAS, weight_decay=DECAYS),
    ),
}
WRITTEN_ELSEWHERE = {"muon"}  # it needs matrices; below


def test_every_optimiser_has_its_rule_here():
    assert CASES.keys() | WRITTEN_ELSEWHERE == set(OPTIMISERS)


@pytest.mark.parametrize("name", CASES)
def test_follows_its_papers_rule(name):
    rule, options = CASES[name]
    for option in options:
        assert apart(ours(name, **option), rule(**option)) < 1e-12, option


@pytest.mark.parametrize("name", CASES)
def test_a_rule_with_one_term_broken_is_told_apart(name):
    rule, options = CASES[name]
    for option in options:
        assert apart(ours(name, **option), rule(**option, broken=True)) > 1e-6, option


def muon_rule(shape, start, pull, option, broken=False):
    """A kernel and a last matrix: the first orthogonalised, the second by AdamW."""
    a, b, c = COEFFICIENTS
    hidden, last = start[0].copy(), start[1].copy()
    mean, m, v = np.zeros(shape), np.zeros_like(last), np.zeros_like(last)
    lr, mu, decay, betas = (option[k] for k in ("lr", "momentum", "weight_decay", "betas"))
    for t in range(1, STEPS + 1):
        g = np.cos(hidden) + pull[0]
        mean = mu * mean + (1 - mu) * g
        direction = (1 - mu) * g + mu * mean if option["nesterov"] else mean
        flat = direction.reshape(shape[0], -1)
        tall = flat.shape[0] > flat.shape[1]
        x = flat.T if tall else flat
        x = x / np.sqrt((x**2).sum())
        for _ in range(0 if broken else 5):
            gram = x @ x.T
            x = a * x + b * gram @ x + c * gram @ gram @ x
        x = x.T if tall else x
        scale = RMS_OF_ADAMW * math.sqrt(max(flat.shape))
        hidden = hidden * (1 - lr * decay) - lr * scale * x.reshape(shape)
        g = np.cos(last) + pull[1]
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        root = np.sqrt(v / (1 - betas[1] ** t)) + 1e-8
        last = last * (1 - lr * decay) - lr * m / (1 - betas[0] ** t) / root
    return hidden, last


MUON = grid(
    lr=(0.002, 0.05),
    momentum=(0.9, 0.95),
    nesterov=(True, False),
    weight_decay=(0.0, 0.1),
    betas=((0.9, 0.95), (0.8, 0.99)),
)


@pytest.mark.parametrize("shape", [(7, 3), (3, 7), (4, 3, 2, 5)], ids=str)
def test_muon_follows_its_papers_rule(shape):
    chance = np.random.default_rng(3)
    start = [chance.normal(size=shape), chance.normal(size=(2, 6))]
    pull = [0.3 * chance.normal(size=array.shape) for array in start]
    for option in MUON:
        points = [torch.tensor(array, requires_grad=True) for array in start]
        optimiser = OPTIMISERS.build(Pick("muon", **option), points)
        for _ in range(STEPS):
            for point, force in zip(points, pull, strict=True):
                point.grad = torch.cos(point.detach()) + torch.from_numpy(force)
            optimiser.step()
        found = [point.detach().numpy() for point in points]
        expected = muon_rule(shape, start, pull, option)
        # The iteration multiplies a difference in the last bit by a = 3.4 five times over, for
        # directions of small singular value: 1e-16 · 3.4⁵ ≈ 5e-14 a step.
        assert apart(found[0], expected[0]) < 1e-11, option
        assert apart(found[1], expected[1]) < 1e-12, option
        assert apart(found[0], muon_rule(shape, start, pull, option, broken=True)[0]) > 1e-6


def test_muon_agrees_with_torchs_own_on_matrices():
    chance = torch.Generator().manual_seed(5)
    weight = torch.randn(6, 9, generator=chance)
    ours, theirs = (weight.clone().requires_grad_() for _ in range(2))
    options = {"lr": 0.03, "momentum": 0.9, "weight_decay": 0.1}
    first = OPTIMISERS.build(Pick("muon", orthogonalise_last=True, **options), [ours])
    second = torch.optim.Muon([theirs], adjust_lr_fn="match_rms_adamw", **options)
    for _ in range(10):
        gradient = torch.randn(6, 9, generator=chance)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        first.step()
        second.step()
    # torch's products are in bfloat16, of 8 bits: 2⁻⁸ a product, 10 steps of size 0.03·0.6.
    assert (ours - theirs).abs().max() < 10 * 0.03 * 0.6 * 2**-6
    assert (ours - weight).abs().max() > 0.05
