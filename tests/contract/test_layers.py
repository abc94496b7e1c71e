"""What every layer promises, for each name in the table and D = 1, 2 and 3."""

from collections.abc import Callable

import jaxtyping
import pytest
import torch
from torch import Tensor, nn

from striate.errors import ConfigError, ShapeError
from striate.layers import ACTIVATIONS, LAYERS, activation
from striate.layers.window import Window

CHANNELS = 4
SPACE = (5, 7, 9)
OURS = {
    "channel_norm",
    "l2_pool",
    "local_contrast_norm",
    "locally_connected",
}


def axes(ndim: int, slab: bool, *values: int, neutral: int = 1) -> tuple[int, ...]:
    """The last `ndim` values; for a slab the first axis is the neutral one."""
    return (neutral, *values[4 - ndim :]) if slab else values[3 - ndim :]


class PoolThenUnpool(nn.Module):
    """Unpooling needs the indices of a pooling, so that the two are tested together."""

    def __init__(self, ndim: int, kernel: tuple[int, ...]) -> None:
        super().__init__()
        self.pool = LAYERS["max_pool"](ndim)(kernel, return_indices=True)
        self.unpool = LAYERS["max_unpool"](ndim)(kernel)

    def forward(self, x: Tensor) -> Tensor:
        y, indices = self.pool(x)
        restored: Tensor = self.unpool(y, indices, output_size=x.shape)
        return restored


Build = Callable[[int, bool], nn.Module]


def make(name: str) -> Callable[..., Callable[[int, bool], nn.Module]]:
    def with_options(**options: Callable[[int, bool], object] | object) -> Build:
        def build(ndim: int, slab: bool) -> nn.Module:
            filled = {k: v(ndim, slab) if callable(v) else v for k, v in options.items()}
            return LAYERS[name](ndim)(**filled)

        return build

    return with_options


def kernel(ndim: int, slab: bool) -> tuple[int, ...]:
    return axes(ndim, slab, 2, 3, 4)


def stride(ndim: int, slab: bool) -> tuple[int, ...]:
    return axes(ndim, slab, 1, 2, 3)


def padding(ndim: int, slab: bool) -> tuple[int, ...]:
    return axes(ndim, slab, 0, 1, 2, neutral=0)


def space(ndim: int, slab: bool) -> tuple[int, ...]:
    return axes(ndim, slab, *SPACE)


SLIDING = {"stride": stride, "padding": padding}
CASES: dict[str, Build] = {
    "conv": make("conv")(in_channels=4, out_channels=3, kernel_size=kernel, **SLIDING),
    "transposed_conv": make("transposed_conv")(
        in_channels=4, out_channels=3, kernel_size=kernel, **SLIDING
    ),
    "locally_connected": make("locally_connected")(
        in_channels=4, out_channels=3, kernel_size=kernel, input_size=space, **SLIDING
    ),
    "max_pool": make("max_pool")(
        kernel_size=kernel, stride=stride, padding=lambda n, s: axes(n, s, 1, 1, 2, neutral=0)
    ),
    "max_unpool": lambda ndim, slab: PoolThenUnpool(ndim, kernel(ndim, slab)),
    "average_pool": make("average_pool")(
        kernel_size=kernel, stride=stride, padding=padding, ceil_mode=True
    ),
    "adaptive_max_pool": make("adaptive_max_pool")(output_size=kernel),
    "adaptive_average_pool": make("adaptive_average_pool")(output_size=kernel),
    "l2_pool": make("l2_pool")(kernel_size=kernel, stride=stride, padding=padding),
    "l2_feature_pool": make("l2_feature_pool")(size=3, stride=1),
    "batch_norm": make("batch_norm")(num_features=4),
    "instance_norm": make("instance_norm")(num_features=4, affine=True),
    "group_norm": make("group_norm")(num_groups=2, num_channels=4),
    "channel_norm": make("channel_norm")(num_channels=4),
    "local_contrast_norm": make("local_contrast_norm")(size=lambda n, s: axes(n, s, 3, 3, 5)),
    "local_response_norm": make("local_response_norm")(size=3, alpha=0.5),
    "dropout": make("dropout")(p=0.4),
    "spatial_dropout": make("spatial_dropout")(p=0.4),
    "stochastic_depth": make("stochastic_depth")(p=0.4),
}


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layer(name: str, ndim: int, *, slab: bool = False, seed: int = 0) -> nn.Module:
    """A layer in float64 with random parameters, those of normalisations included."""
    built = CASES[name](ndim, slab).double()
    for offset, parameter in enumerate(built.parameters()):
        parameter.data = draw(*parameter.shape, seed=seed + offset)
    return built


def image(ndim: int) -> Tensor:
    return draw(2, CHANNELS, *SPACE[3 - ndim :], seed=7)


def test_every_layer_is_here() -> None:
    assert set(CASES) == set(LAYERS)


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("name", CASES)
class TestEveryLayer:
    def test_gradient_equals_finite_differences(self, name: str, ndim: int) -> None:
        module = layer(name, ndim)
        if "dropout" in name or name == "stochastic_depth":
            module.eval()
        parameters = dict(module.named_parameters())

        def function(x: Tensor, *values: Tensor) -> Tensor:
            given = dict(zip(parameters, values, strict=True))
            result: Tensor = torch.func.functional_call(module, given, (x,))
            return result

        inputs = (image(ndim).requires_grad_(), *parameters.values())
        assert torch.autograd.gradcheck(function, inputs, fast_mode=ndim > 1)

    def test_every_parameter_receives_a_gradient(self, name: str, ndim: int) -> None:
        module = layer(name, ndim)
        x = image(ndim).requires_grad_()
        with torch.random.fork_rng():
            torch.manual_seed(1)  # one of two items must survive stochastic depth
            y = module(x)
        y.backward(draw(*y.shape, seed=3))
        for given in (x, *module.parameters()):
            assert given.grad is not None
            assert given.grad.count_nonzero() > 0

    def test_evaluation_is_repeatable_and_changes_nothing(self, name: str, ndim: int) -> None:
        module = layer(name, ndim).eval()
        before = {key: value.clone() for key, value in module.state_dict().items()}
        x = image(ndim)
        kept = x.clone()
        first, second = module(x), module(x)
        assert torch.equal(first, second)
        assert torch.equal(x, kept)
        assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())

    def test_one_slice_equals_one_dimension_less(self, name: str, ndim: int) -> None:
        if ndim == 1:
            pytest.skip("there is no layer with D = 0")
        flat, deep = layer(name, ndim - 1).eval(), layer(name, ndim, slab=True).eval()
        state = zip(deep.parameters(), flat.parameters(), strict=True)
        for thick, thin in state:
            thick.data = thin.data.view(thick.shape)
        x = image(ndim - 1)
        torch.testing.assert_close(deep(x.unsqueeze(2)).squeeze(2), flat(x), rtol=1e-10, atol=1e-12)

    def test_state_dict_round_trip(self, name: str, ndim: int) -> None:
        one, other = layer(name, ndim).eval(), layer(name, ndim, seed=50).eval()
        x = image(ndim)
        if list(one.parameters()):
            assert not torch.equal(one(x), other(x))
        other.load_state_dict(one.state_dict())
        assert torch.equal(one(x), other(x))

    def test_channels_last_changes_nothing(self, name: str, ndim: int) -> None:
        if ndim == 1:
            pytest.skip("torch has no channels-last layout for D = 1")
        form = torch.channels_last if ndim == 2 else torch.channels_last_3d
        module = layer(name, ndim).eval()
        x = image(ndim)
        expected = module(x)
        ours = module.to(memory_format=form)(x.contiguous(memory_format=form))
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-12)

    def test_empty_batch_and_single_precision(self, name: str, ndim: int) -> None:
        module = CASES[name](ndim, False).eval()
        x = image(ndim).float()
        y = module(x)
        assert y.dtype == torch.float32
        if name not in (
            "instance_norm",
            "max_pool",
            "max_unpool",
            "adaptive_max_pool",
            "transposed_conv",
        ):
            assert module(x[:0]).shape == (0, *y.shape[1:])


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize(
    "name", ["conv", "locally_connected", "max_pool", "average_pool", "l2_pool"]
)
def test_output_size_follows_the_formula(name: str, ndim: int) -> None:
    x = image(ndim)
    pads = axes(ndim, False, 1, 1, 2) if name == "max_pool" else padding(ndim, False)
    expected = [
        Window(k, s, p, ceil_mode=name == "average_pool").output_size(n)
        for k, s, p, n in zip(
            kernel(ndim, False), stride(ndim, False), pads, x.shape[2:], strict=True
        )
    ]
    assert list(layer(name, ndim)(x).shape[2:]) == expected


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package as a person runs it, without the annotation checks of the tests."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.mark.usefixtures("unchecked")
class TestErrors:
    @pytest.mark.parametrize("ndim", [1, 2, 3])
    @pytest.mark.parametrize("name", sorted(OURS - {"channel_norm"}))
    def test_another_number_of_axes(self, name: str, ndim: int) -> None:
        with pytest.raises(ShapeError, match=rf"with ndim={ndim} takes \(B, C, .*\); what came"):
            layer(name, ndim)(image(ndim).unsqueeze(-1))

    @pytest.mark.parametrize("name", ["channel_norm", "locally_connected"])
    def test_other_channels(self, name: str) -> None:
        with pytest.raises(ShapeError, match="was made for 4 channels"):
            layer(name, 2)(image(2)[:, :3])

    @pytest.mark.parametrize("name", LAYERS)
    def test_no_layer_for_four_dimensions(self, name: str) -> None:
        with pytest.raises(ConfigError, match="ndim=4 is not a number of spatial dimensions"):
            LAYERS[name](4)


@pytest.mark.parametrize("name", LAYERS)
def test_table_describes_itself(name: str) -> None:
    assert LAYERS.describe(name).endswith(".")


@pytest.mark.parametrize("name", ACTIVATIONS)
class TestEveryActivation:
    def test_gradient_equals_finite_differences(self, name: str) -> None:
        module = activation(name).double()
        x = draw(3, 4, 5).requires_grad_()
        inputs = (x, *module.parameters())
        assert torch.autograd.gradcheck(lambda x, *_: module(x), inputs)

    def test_keeps_places_apart(self, name: str) -> None:
        module = activation(name).double()
        x = draw(3, 4, 5)
        other = x.clone()
        other[..., 2] += 1
        changed = (module(x) != module(other)).flatten(0, 1).any(0)
        assert changed.tolist() == [False, False, True, False, False]

    def test_describes_itself(self, name: str) -> None:
        assert ACTIVATIONS.describe(name)
