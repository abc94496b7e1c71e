"""Nothing that looks into a network leaves anything on it, whatever goes wrong."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from striate import seeing
from striate.config import ExecutionConfig
from striate.errors import ConfigError
from striate.execution import Execution, accelerate, choose
from striate.networks import NETWORKS
from striate.registry import Pick
from striate.seeing.dead import dead_units
from striate.seeing.flow import flow
from striate.seeing.kept import kept_for_backward
from striate.seeing.peak import Peak
from striate.seeing.sanity import cascade
from striate.seeing.separability import layers_over_depth
from striate.seeing.twin import captured, twin


def three(images: Tensor) -> Tensor:
    """Three images that do not lie on a line."""
    return torch.stack([images[0], images[0].flip(-1), images[0].roll(1, -1)])


def as_images(points: Tensor) -> Tensor:
    return points.repeat(1, 216).view(-1, 3, 12, 12)


def mean_square(network: nn.Module, batch: Tensor) -> Tensor:
    output: Tensor = network(batch)
    return output.square().mean()


def output_gradients(network: nn.Module, images: Tensor) -> Tensor:
    return torch.tensor([row.output_gradient for row in flow(network, images[:1], mean_square)])


PLANE, DREAM = (-1.0, 1.0, -1.0, 1.0), {"low": -2.0, "high": 2.0, "steps": 2}
PEAK = Peak(1.0, 1.0, "cpu", 1)
FUNCTIONS: dict[str, Callable[[nn.Module, Tensor], Any]] = {
    "gradient": lambda n, x: seeing.gradient(n, x, 0),
    "guided": lambda n, x: seeing.guided_backpropagation(n, x, 0),
    "deconvnet": lambda n, x: seeing.deconvnet(n, x, seeing.Unit("stem", 1)),
    "grad_cam": lambda n, x: seeing.grad_cam(n, x, 0, "stem"),
    "integrated": lambda n, x: seeing.integrated_gradients(n, x, 0, steps=3),
    "occlusion": lambda n, x: seeing.occlusion(n, x, 0, window=6, stride=6),
    "sanity": lambda n, x: cascade(n, lambda m: seeing.gradient(m, x, 0))[-1].correlations,
    "patches": lambda n, x: seeing.top_patches(n, x, ["stem"])["stem"].values,
    "maps": lambda n, x: seeing.maps_of(n, x, "stem")["stem"],
    "filters": lambda n, x: seeing.first_filters(n, x)["stem.0"].weights,
    "maximise": lambda n, x: seeing.maximise(n, 0, (3, 12, 12), **DREAM).image,
    "dream": lambda n, x: seeing.dream(n, x[0], "stem", **DREAM).image,
    "features": lambda n, x: seeing.features(n, x[:1]),
    "layers": lambda n, x: layers_over_depth(n, x[:1]),
    "separability": lambda n, x: seeing.separability(
        n, x.repeat(4, 1, 1, 1), torch.arange(4 * len(x)) % 2, num_folds=2
    ),
    "index": lambda n, x: seeing.build_index(n, x[:1], ["a"], ["b"]).features,
    "regions": lambda n, x: seeing.decision_regions(n, PLANE, (1, 1), as_images),
    "plane": lambda n, x: seeing.image_plane(n, three(x), (1, 1)).scores,
    "bent space": lambda n, x: (
        seeing.bent_space(n, "stem", x[0, 0, :3, :2], PLANE, num_lines=2, inputs=as_images).points
    ),
    "landscape": lambda n, x: seeing.landscape(n, mean_square, [x[:1]], num_points=3).losses,
    "flow": output_gradients,
    "table": lambda n, x: seeing.table(n, x[:1]).total.parameters,
    "measured table": lambda n, x: seeing.table(n, x[:1], measure=True, repeats=1, peak=PEAK).rows,
    "kept": lambda n, x: kept_for_backward(n, x[:1]).total,
    "dead": lambda n, x: dead_units(n, [x[:1]]),
}
"""What is measured by the clock has other numbers each time."""
TIMED = {"measured table", "table", "kept", "dead", "layers", "separability"}


def network() -> nn.Module:
    torch.manual_seed(2)
    return NETWORKS.build(Pick("resnet", depth=8, width=4), num_classes=3)


def snapshot(module: nn.Module) -> list[Any]:
    """All that can be seen of a network and of torch's own state."""
    state: list[Any] = [torch.get_rng_state().tolist(), torch.is_grad_enabled()]
    state += [len(nn.modules.module._global_forward_hooks), torch.get_num_threads()]
    for name, part in module.named_modules():
        own = {key: value for key, value in vars(part).items() if key not in ("_modules",)}
        hooks = {key: list(value) for key, value in own.items() if key.endswith("hooks")}
        state.append((name, id(part), type(part), part.training, sorted(own), hooks))
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        grad = tensor.grad
        state.append((name, id(tensor), tensor.requires_grad, tensor._version, id(grad)))
        state.append(tensor.detach().clone().flatten().tolist())
        state.append(None if grad is None else grad.flatten().tolist())
    return state


class Interrupted(nn.Module):
    """Fails at its second call."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.body, self.error, self.calls = network(), error, [0]

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        if x.requires_grad or len(x) == 1:
            raise self.error
        return y


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("is_training", [True, False])
def test_nothing_is_left(name: str, is_training: bool) -> None:
    net, x = network().train(is_training), torch.randn(2, 3, 12, 12)
    net(x).sum().backward()
    net.get_submodule("head").weight.requires_grad_(False)  # type: ignore[union-attr]
    before = snapshot(net)
    FUNCTIONS[name](net, x)
    assert snapshot(net) == before


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("error", [ValueError("own"), KeyboardInterrupt(), MemoryError()])
def test_nothing_is_left_where_an_exception_flies_through(name: str, error: BaseException) -> None:
    net, x = Interrupted(error), torch.randn(2, 3, 12, 12)
    before = snapshot(net)
    with pytest.raises((type(error), ConfigError)):
        FUNCTIONS[name](net, x)
    assert snapshot(net) == before


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_training_in_the_middle_of_a_step_goes_on_as_if_nothing_was_asked(name: str) -> None:
    x, y = torch.randn(6, 3, 12, 12), torch.tensor([0, 1, 2, 0, 1, 2])
    weights = []
    for asks in (False, True):
        torch.manual_seed(3)
        net = network().train()
        optimiser = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
        for _ in range(2):
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(net(x), y)
            if asks:
                FUNCTIONS[name](net, x[:1])
            loss.backward()
            if asks:
                FUNCTIONS[name](net, x[:1])
            optimiser.step()
        weights.append(pickle.dumps({k: v.tolist() for k, v in net.state_dict().items()}))
    assert weights[0] == weights[1]


def test_native_layers_hide_no_rectifier() -> None:
    net, x = network().eval(), torch.randn(4, 3, 12, 12)
    chosen = [function for name, function in FUNCTIONS.items() if name not in TIMED]
    plain = [function(net, x) for function in chosen]
    execution = choose(net, (4, 3, 12, 12), ExecutionConfig(threads=1), seconds=0.2).execution
    every = Execution(
        execution.device, True, "float32", layers=("norm", "pool", "linear", "activation")
    )
    accelerate(net, every)
    kinds = [type(module) for module in net.modules()]
    for expected, function in zip(plain, chosen, strict=True):
        torch.testing.assert_close(function(net, x), expected)
    assert [type(module) for module in net.modules()] == kinds


def test_a_twin_has_the_networks_tensors_and_modules_of_its_own() -> None:
    net = network().train()
    net.register_forward_hook(lambda _, __, output: output + 1)
    copied = twin(net)
    x = torch.randn(2, 3, 12, 12)
    torch.testing.assert_close(copied(x), copy.deepcopy(net).eval()(x))  # the hook counts
    with torch.no_grad():
        net.get_submodule("head").weight.zero_()  # type: ignore[union-attr]
    assert bool((copied.get_submodule("head").weight == 0).all())
    assert not any(p.requires_grad for p in copied.parameters())
    assert not {id(m) for m in net.modules()} & {id(m) for m in copied.modules()}


def test_parametrisations_and_weights_that_are_used_twice_stay() -> None:
    torch.manual_seed(4)
    net = nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 4)), nn.ReLU(), nn.Linear(4, 4))
    net[2].weight = net[0].parametrizations.weight.original1
    x = torch.randn(2, 4)
    torch.testing.assert_close(twin(net)(x), net(x))
    copied = twin(net)
    assert copied[2].weight is copied[0].parametrizations.weight.original1


def test_a_tensor_that_was_computed_and_kept_is_no_obstacle() -> None:
    net = nn.Sequential(nn.Linear(3, 3))
    net.kept = net[0](torch.randn(1, 3))  # type: ignore[assignment]
    assert seeing.gradient(net, torch.randn(1, 3), 1).shape == (1, 3)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_what_nobody_can_look_into_is_refused() -> None:
    scripted = torch.jit.script(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    with pytest.raises(ConfigError, match="scripted"):
        twin(nn.Sequential(scripted))
    held = nn.Linear(2, 2)
    held.stream = open(__file__)  # type: ignore[assignment]  # noqa: SIM115
    with pytest.raises(ConfigError, match="cannot be copied"):
        twin(held)
    held.stream.close()


def test_a_layer_that_works_in_place_changes_nothing_that_was_captured() -> None:
    net = twin(nn.Sequential(nn.Identity(), nn.ReLU(inplace=True)))
    x = torch.tensor([[-1.0, 2.0]])
    with captured(net, "0", "1") as layers:
        net(x)
    assert layers["0"][0].tolist() == [[-1, 2]]
    assert layers["1"][0].tolist() == [[0, 2]]
    assert not any(module._forward_hooks for module in net.modules())
