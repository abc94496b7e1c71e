"""The gradient check accepts right gradients, kinks included, and finds planted bugs."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.calculus.check import check_function
from striate.calculus.network_check import check_network
from striate.calculus.probe import Line, measure_noise, probe
from striate.errors import ConfigError


class _Function(torch.autograd.Function):
    """A convolution of stride 2 whose backward can be broken in one place."""

    bug = "none"

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias, stride=2, padding=1)

    @staticmethod
    def backward(ctx, delta):
        x, weight = ctx.saved_tensors
        bug = _Function.bug
        dx = nn.grad.conv2d_input(x.shape, weight, delta, stride=2, padding=1)
        dweight = nn.grad.conv2d_weight(x, weight.shape, delta, stride=2, padding=1)
        dbias = delta.sum((0, 2, 3))
        if bug == "transposed gradient":
            dweight = dweight.transpose(2, 3)
        elif bug == "missing factor":
            dweight = dweight / delta.shape[0]
        elif bug == "small factor":
            dx = dx * 1.00001
        elif bug == "wrong sign":
            dx = -dx
        elif bug == "off by one in a stride":
            dx = dx.roll(1, dims=3)
        elif bug == "one wrong element":
            dweight = dweight.clone()
            dweight[3, 1, 2, 0] *= 1.5
        elif bug == "forgotten bias term":
            dbias = None
        elif bug == "bias of the first sample":
            dbias = delta[0].sum((1, 2))
        return dx, dweight, dbias


class _Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.before = nn.Conv2d(2, 3, 3)
        self.weight = nn.Parameter(torch.randn(5, 3, 3, 3) / 5)
        self.bias = nn.Parameter(torch.randn(5) / 5)
        self.after = nn.Linear(5, 4)

    def forward(self, x):
        x = torch.tanh(self.before(x))
        x = torch.tanh(_Function.apply(x, self.weight, self.bias))
        return self.after(x.mean((2, 3)))


def _check(network, *, samples=3, shape=(2, 9, 7), classes=4, **options):
    source = torch.Generator().manual_seed(5)
    inputs = torch.randn(samples, *shape, generator=source)
    target = torch.randint(classes, (samples,), generator=source)
    return check_network(network, F.cross_entropy, inputs, target, **options)


def _verdicts(report):
    return {tensor.name: tensor.verdict for tensor in report.tensors}


def test_right_gradients_agree():
    torch.manual_seed(0)
    report = _check(_Network())
    assert report.ok
    assert report.exit_code == 0
    assert set(_verdicts(report).values()) == {"agrees"}
    assert max(tensor.relative_error for tensor in report.tensors) < 1e-5
    assert "The gradients of all 7 tensors are right." in str(report)


@pytest.mark.parametrize(
    ("bug", "expected"),
    [
        pytest.param("transposed gradient", {"weight": "wrong"}, marks=pytest.mark.slow),
        pytest.param("missing factor", {"weight": "wrong"}, marks=pytest.mark.slow),
        pytest.param(
            "small factor",
            {"input": "wrong", "before.weight": "wrong", "before.bias": "wrong"},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "wrong sign",
            {"input": "wrong", "before.weight": "wrong", "before.bias": "wrong"},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "off by one in a stride",
            {"input": "wrong", "before.weight": "wrong"},
            marks=pytest.mark.slow,
        ),
        ("one wrong element", {"weight": "wrong"}),
        ("forgotten bias term", {"bias": "no gradient"}),
        ("bias of the first sample", {"bias": "wrong"}),
    ],
)
def test_a_planted_bug_is_found(monkeypatch, bug, expected):
    torch.manual_seed(0)
    monkeypatch.setattr(_Function, "bug", bug)
    report = _check(_Network(), elements=1, projections=1)
    failures = {tensor.name: tensor.verdict for tensor in report.failures}
    assert expected.items() <= failures.items()
    assert failures.keys() <= {*expected, "before.bias"}
    assert report.exit_code == 1
    assert next(iter(expected)) in report.verdict


def test_the_wrong_element_is_named(monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(_Function, "bug", "one wrong element")
    report = _check(_Network(), elements=1)
    (failure,) = report.failures
    assert failure.worst == (3, 1, 2, 0)
    assert failure.analytic / failure.numeric == pytest.approx(1.5, rel=1e-6)
    assert failure.relative_error == pytest.approx(1 / 3, rel=1e-5)


def test_without_elements_projections_alone_decide(monkeypatch):
    torch.manual_seed(0)
    quick = {"elements": 0, "projections": 1, "exhaustive": 0}
    right = _check(_Network(), **quick)
    assert right.ok
    assert {tensor.worst for tensor in right.tensors} == {None}
    assert right.evaluations < 40
    monkeypatch.setattr(_Function, "bug", "one wrong element")
    (failure,) = _check(_Network(), **quick).failures
    assert failure.worst == (3, 1, 2, 0)
    with pytest.raises(ConfigError, match="projections=0 must be 1 or more"):
        _check(_Network(), projections=0)


class _Branches(nn.Module):
    def __init__(self, detached):
        super().__init__()
        self.shared, self.side = nn.Linear(6, 6), nn.Linear(6, 6)
        self.after, self.detached = nn.Linear(6, 4), detached

    def forward(self, x):
        x = torch.tanh(self.shared(x))
        side = torch.tanh(self.side(x))
        return self.after(x + (side.detach() if self.detached else side))


@pytest.mark.slow
def test_a_detached_branch_is_found():
    torch.manual_seed(0)
    assert _check(_Branches(False), shape=(6,)).ok
    report = _check(_Branches(True), shape=(6,))
    verdicts = _verdicts(report)
    assert verdicts["side.weight"] == verdicts["side.bias"] == "no gradient"
    assert verdicts["shared.weight"] == verdicts["input"] == "wrong"
    assert verdicts["after.weight"] == "agrees"
    assert "is it detached on the way?" in str(report)


def test_an_unused_parameter_is_no_gradient():
    torch.manual_seed(0)
    network = nn.Linear(6, 4)
    network.register_parameter("unused", nn.Parameter(torch.randn(3)))
    report = _check(network, shape=(6,))
    assert _verdicts(report)["unused"] == "no gradient"
    assert "is it forgotten?" in str(report)


def test_a_frozen_parameter_is_reported_and_not_checked():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4))
    network[0].weight.requires_grad_(False)
    report = _check(network, shape=(6,))
    assert _verdicts(report)["0.weight"] == "frozen"
    assert report.ok


def test_a_bias_before_batch_normalisation_is_zero():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(105, 4)
    )
    report = _check(network)
    assert _verdicts(report)["0.bias"] == "zero"
    assert report.ok
    assert "running ones are put back" in str(report)


def test_the_network_is_left_as_it_is():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Dropout())
    network.append(nn.Linear(105, 4)).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = torch.random.get_rng_state()
    assert _check(network).ok
    assert not network.training
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(p.grad is None for p in network.parameters())
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_dropout_draws_the_same_mask_and_in_place_first_layers_work():
    torch.manual_seed(0)
    network = nn.Sequential(nn.ReLU(inplace=True), nn.Dropout(0.4), nn.Linear(6, 4))
    report = _check(network, shape=(6,))
    assert report.ok
    assert "Dropout draws the same mask" in str(report)


def test_a_function_that_changes_by_itself_is_refused():
    source = torch.Generator().manual_seed(0)
    w = torch.randn(3, dtype=torch.float64, requires_grad=True)
    noisy = lambda: (w * torch.rand(3, generator=source, dtype=torch.float64)).sum()  # noqa: E731
    with pytest.raises(ConfigError, match="another number each time"):
        check_function(noisy, {"w": w})


def test_float32_and_vectors_are_refused():
    w = torch.randn(3, requires_grad=True)
    with pytest.raises(ConfigError, match="needs float64; these are not: w"):
        check_function(lambda: w.sum(), {"w": w})
    v = torch.randn(5, dtype=torch.float64, requires_grad=True)
    with pytest.raises(ConfigError, match="one finite number"):
        check_function(lambda: v, {"v": v})


class TestKinks:
    """Kinks are told apart from wrong gradients."""

    @staticmethod
    def _at(x, function):
        x = torch.tensor(x, dtype=torch.float64, requires_grad=True)
        return check_function(lambda: function(x), {"x": x}).tensors[0]

    def test_exactly_on_the_kink(self):
        found = self._at([0.0, 1.3], lambda x: torch.relu(x).sum())
        assert (found.verdict, found.worst) == ("kink", (0,))

    def test_near_the_kink(self):
        found = self._at([1e-7, 1.3], lambda x: (2 * torch.relu(x) + x).sum())
        assert (found.verdict, found.worst) == ("kink", (0,))
        assert found.numeric == pytest.approx(3.0, rel=1e-6)

    def test_tied_maximum(self):
        assert self._at([0.7, 0.7, 0.2], lambda x: x.max(0).values).verdict == "kink"

    def test_hinge_loss_on_its_margin(self):
        scores = [1.0, 2.0, 0.5]
        hinge = lambda s: torch.relu(s[[0, 2]] - s[1] + 1).sum()  # noqa: E731
        assert self._at(scores, hinge).verdict == "kink"

    def test_a_wrong_gradient_on_a_kink_is_wrong(self):
        def function(x):
            bent = torch.relu(x).sum()
            return bent + 1.5 * (x - x.detach()).sum()  # adds to the gradient, not to the value

        assert self._at([0.0, 1.3], function).verdict == "wrong"

    def test_curvature_is_not_a_kink(self):
        found = self._at([0.3, -0.2], lambda x: torch.exp(30 * x).sum())
        assert found.verdict == "agrees"

    def test_relu_networks_are_right(self):
        torch.manual_seed(1)
        network = nn.Sequential(
            nn.Conv2d(2, 5, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten()
        )
        network.append(nn.Linear(30, 4))
        network[0].bias.data.zero_()
        assert _check(network).ok


class _Heads(nn.Module):
    auxiliary_weight = 0.3

    def __init__(self):
        super().__init__()
        self.stem, self.main, self.side = nn.Linear(6, 5), nn.Linear(5, 4), nn.Linear(5, 4)

    def forward(self, x):
        x = torch.tanh(self.stem(x))
        return (self.main(x), self.side(x)) if self.training else self.main(x)


def test_auxiliary_heads_count_with_their_weight():
    torch.manual_seed(0)
    network = _Heads()
    inputs, target = torch.randn(3, 6), torch.tensor([0, 3, 1])
    report = check_network(network, F.cross_entropy, inputs, target)
    main, side = network(inputs)
    expected = F.cross_entropy(main, target) + 0.3 * F.cross_entropy(side, target)
    assert report.ok
    assert report.loss == pytest.approx(expected.item(), rel=1e-5)
    evaluated = check_network(network, F.cross_entropy, inputs, target, training=False)
    assert _verdicts(evaluated)["side.weight"] == "no gradient"


def test_noise_is_measured():
    source = torch.Generator().manual_seed(2)
    steps = torch.arange(4000, dtype=torch.float64)
    noise = 1e-9 * torch.randn(4000, generator=source, dtype=torch.float64)
    # 4000 values know σ to about 2 %; third differences widen that to 4 %.
    assert measure_noise(noise + 3 * steps + 1e-12 * steps**2) == pytest.approx(1e-9, rel=0.1)
    assert measure_noise(torch.full((7,), 2.0, dtype=torch.float64)) == 2 * 2.0**-52


def test_noise_widens_the_tolerance():
    line = Line(lambda t: 3 * t, slope=3.001, size=1.0)
    assert probe(line, centre=0.0, noise=1e-16).verdict == "wrong"
    assert probe(line, centre=0.0, noise=1e-7).verdict == "agrees"


@pytest.mark.slow
def test_a_deep_residual_network_takes_under_a_minute():
    class Block(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(channels, channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
                nn.Conv2d(channels, channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(channels),
            )

        def forward(self, x):
            return torch.relu_(self.body(x) + x)

    torch.manual_seed(0)
    stages = [nn.Conv2d(3, 16, 3, padding=1)]
    for channels in (16, 32, 64):
        stages += [Block(channels) for _ in range(3)]
        if channels < 64:
            stages.append(nn.Conv2d(channels, 2 * channels, 1, stride=2))
    stages += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
    report = _check(nn.Sequential(*stages), samples=2, shape=(3, 32, 32), classes=10)
    assert report.ok
    assert report.seconds < 60
