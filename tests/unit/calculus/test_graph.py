import xml.etree.ElementTree as ET

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.calculus.graph import graph
from striate.calculus.graph_label import tensor_text
from striate.calculus.graph_svg import graph_svg
from striate.calculus.numerical import numerical_gradient
from striate.errors import ConfigError


def _scalars(**values):
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}


def _gradients(found, *names):
    return [found.gradient(found.named(name)).item() for name in names]


def _agrees_with_autograd(function, inputs):
    """Input gradients, and the sum over the uses of every value, equal autograd's own."""
    found = graph(function, inputs)
    leaves = {name: value.clone().requires_grad_() for name, value in inputs.items()}
    result = function(*(leaf.clone() for leaf in leaves.values()))
    outputs = [o for o in torch.utils._pytree.tree_leaves(result) if o.requires_grad]
    expected = torch.autograd.grad(
        outputs, list(leaves.values()), [torch.ones_like(o) for o in outputs]
    )
    for name, gradient in zip(leaves, expected, strict=True):
        torch.testing.assert_close(
            found.gradient(found.named(name)), gradient, rtol=1e-12, atol=1e-12
        )
    return found


def test_the_example_of_the_courses():
    found = graph(lambda x, y, z: (x + y) * z, _scalars(x=-2.0, y=5.0, z=-4.0))
    assert _gradients(found, "x", "y", "z") == [-4.0, -4.0, 3.0]
    assert found.value(found.named("output")).item() == -12.0
    assert [(n.kind, n.label, n.pattern) for n in found.nodes] == [
        ("input", "x", ""),
        ("input", "y", ""),
        ("input", "z", ""),
        ("operation", "+", "add"),
        ("operation", "×", "multiply"),
        ("output", "output", ""),
    ]
    assert [
        (e.source, e.target, e.slot, e.value.item(), e.gradient.item()) for e in found.edges
    ] == [
        (0, 3, 0, -2.0, -4.0),
        (1, 3, 1, 5.0, -4.0),
        (3, 4, 0, 3.0, -4.0),
        (2, 4, 1, -4.0, 3.0),
        (4, 5, 0, -12.0, 1.0),
    ]


def test_the_sigmoid_neuron_of_the_courses():
    def neuron(w0, x0, w1, x1, w2):
        return 1 / (1 + torch.exp(-(w0 * x0 + w1 * x1 + w2)))

    found = graph(neuron, _scalars(w0=2.0, x0=-1.0, w1=-3.0, x1=-2.0, w2=-3.0))
    rounded = [round(g, 2) for g in _gradients(found, "w0", "x0", "w1", "x1", "w2")]
    assert rounded == [-0.20, 0.39, -0.39, -0.59, 0.20]
    assert round(found.value(found.named("output")).item(), 2) == 0.73
    labels = [node.label for node in found.nodes if node.kind == "operation"]
    assert labels == ["×", "×", "+", "+", "× −1", "exp", "+ 1", "1 ÷"]


def test_a_value_that_fans_out_has_one_gradient_for_each_use():
    found = graph(lambda x, y: x * y + x * x, _scalars(x=3.0, y=-4.0))
    uses = found.out_of(found.named("x"))
    assert [edge.gradient.item() for edge in uses] == [-4.0, 3.0, 3.0]
    assert [(edge.target, edge.slot) for edge in uses] == [(2, 0), (3, 0), (3, 1)]
    assert _gradients(found, "x") == [2.0]


def test_maximum_routes():
    found = graph(torch.maximum, _scalars(a=2.0, b=-1.0))
    assert [e.gradient.item() for e in found.edges] == [2.0 / 2, 0.0, 1.0]
    assert found.named("max").pattern == "max"


def _random(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(7))


def test_in_place_operations_make_new_values():
    def function(x):
        y = x * 2
        y += x
        y[0] = 0.5
        F.relu(y, inplace=True)
        z = y * x
        z += y
        return z.sum()

    found = _agrees_with_autograd(function, {"x": _random(5)})
    labels = [node.label for node in found.nodes if node.kind == "operation"]
    assert labels == ["× 2", "+", "assign", "relu", "×", "+", "sum"]


def test_a_view_sees_what_is_done_to_its_base():
    def function(x):
        y = x * 3
        first = y[0]
        y.add_(1.0)
        return (first * first).sum()

    found = _agrees_with_autograd(function, {"x": _random(2, 3)})
    found = _agrees_with_autograd(lambda x: function(x.t()), {"x": _random(2, 3)})
    assert "T" not in str(found)


def test_the_input_itself_may_be_changed_in_place():
    x = _random(4)
    before = x.clone()
    _agrees_with_autograd(lambda x: x.mul_(3).exp_().sum(), {"x": x})
    assert torch.equal(x, before)


def test_several_outputs_in_any_nesting():
    def function(x, w):
        values, places = (x @ w).max(dim=1)
        a, b = x.split([1, 2], dim=0)
        return {"largest": values * places, "rest": (a.sum(), b.mean())}

    found = _agrees_with_autograd(function, {"x": _random(3, 5), "w": _random(5, 4)})
    assert [n.label for n in found.nodes if n.kind == "output"] == [
        "output 1",
        "output 2",
        "output 3",
    ]
    (split,) = [node for node in found.nodes if node.label == "split"]
    assert [edge.output for edge in found.out_of(split)] == [0, 1]
    places = next(edge for edge in found.edges if not edge.value.is_floating_point())
    assert places.gradient is None


def test_seeds_enter_at_the_outputs():
    x, seed = _random(3), _random(3)
    found = graph(lambda x: 2 * x, {"x": x}, seeds=[seed])
    assert torch.equal(found.gradient(found.named("x")), 2 * seed)
    with pytest.raises(ConfigError, match=r"seeds have shapes \[\(2,\)\]; the outputs have"):
        graph(lambda x: 2 * x, {"x": x}, seeds=[torch.zeros(2)])


class _Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, delta):
        return 3 * ctx.saved_tensors[0] ** 2 * delta


def test_custom_functions_and_composite_calls():
    target = torch.tensor([2, 0])

    def function(x, w):
        return F.cross_entropy(_Cube.apply(x) @ w, target)

    found = _agrees_with_autograd(function, {"x": _random(2, 5), "w": _random(5, 3)})
    assert [n.label for n in found.nodes if n.kind == "operation"] == ["cube", "@", "cross_entropy"]


def test_a_detached_branch_carries_no_gradient():
    found = graph(lambda x: (x * 2) * (x * 3).detach(), {"x": _random(3)})
    (detach,) = [node for node in found.nodes if node.label == "detach"]
    assert [edge.gradient for edge in found.into(detach) + found.out_of(detach)] == [None, None]
    assert "none" in str(found)


def test_dead_ends_are_left_out():
    found = graph(lambda x: (x.exp(), x * 2)[1], {"x": _random(3)})
    assert [node.label for node in found.nodes] == ["x", "× 2", "output"]


def test_recurrent_cells_and_mixed_types():
    cell = nn.LSTM(3, 4).double()
    found = graph(lambda x: cell(x)[0].sum(), {"x": _random(6, 2, 3)}, network=cell)
    names = [node.label for node in found.nodes if node.kind == "parameter"]
    assert names == ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
    cell(_random(6, 2, 3))[0].sum().backward()
    for name, parameter in cell.named_parameters():
        torch.testing.assert_close(
            graph(lambda x: cell(x)[0].sum(), {"x": _random(6, 2, 3)}, network=cell).gradient(
                found.named(name)
            ),
            parameter.grad,
            rtol=1e-10,
            atol=1e-12,
        )


class _Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(inplace=True))
        self.again = nn.Conv2d(3, 3, 3, padding=1)
        self.head = nn.Linear(3, 5)

    def forward(self, x):
        x = self.stem(x)
        y = torch.relu_(self.again(x))
        x = x + self.again(y)
        return self.head(x.mean((2, 3)))


def _network_and_input():
    torch.manual_seed(0)
    return _Network().double(), _random(4, 2, 7, 6)


def test_a_network_folds_by_module_and_a_reused_module_appears_twice():
    network, x = _network_and_input()
    found = graph(network, x, depth=1)
    assert [node.label for node in found.nodes] == [
        "x",
        "stem: Sequential",
        "again: Conv2d",
        "relu",
        "again#2: Conv2d",
        "+",
        "mean",
        "head: Linear",
        "output",
    ]
    loss = network(x.requires_grad_()).sum()
    loss.backward()
    torch.testing.assert_close(found.gradient(found.named("x")), x.grad, rtol=1e-10, atol=1e-14)
    head = found.named("head: Linear")
    assert head.num_parameters == 20
    norm = torch.sqrt(
        network.head.weight.grad.square().sum() + network.head.bias.grad.square().sum()
    )
    assert head.parameter_norm == pytest.approx(norm.item(), rel=1e-10)
    stem = found.named("stem: Sequential")
    assert [e.value.shape for e in found.out_of(stem)] == [torch.Size([4, 3, 5, 4])] * 2
    unfolded = graph(network, x)
    (weight,) = [n for n in unfolded.nodes if n.label == "again.weight"]
    assert len(unfolded.out_of(weight)) == 2
    torch.testing.assert_close(
        unfolded.gradient(weight), network.again.weight.grad, rtol=1e-10, atol=1e-14
    )


def test_folding_deeper_unfolds():
    network, x = _network_and_input()
    two = graph(network, x, depth=2)
    labels = [node.label for node in two.nodes]
    assert labels[1:4] == ["stem.0: Conv2d", "stem.1: BatchNorm2d", "stem.2: ReLU"]
    assert "head: Linear" in labels
    assert [edge.slot for edge in two.into(two.named("+"))] == [0, 1]
    assert "conv2d" in [node.label for node in graph(network, x).nodes]
    with pytest.raises(ConfigError, match="depth=0 must be 1 or more"):
        graph(network, x, depth=0)


def test_nothing_is_left_behind():
    network, x = _network_and_input()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    graph(network, x)
    broken = nn.Sequential(network.stem, nn.Linear(99, 2).double())
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        graph(broken, x)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert all(p.grad is None for p in network.parameters())
    assert not torch.nn.modules.module._global_forward_hooks
    assert not torch.nn.modules.module._global_forward_pre_hooks


def test_a_function_without_tensors_is_refused():
    with pytest.raises(ConfigError, match="gives no tensor"):
        graph(lambda x: 3.0, {"x": _random(2)})


def test_the_order_is_stable():
    network, x = _network_and_input()
    assert str(graph(network, x)) == str(graph(network, x))
    assert graph_svg(graph(network, x)) == graph_svg(graph(network, x))


def test_text():
    assert tensor_text(torch.tensor(-0.19661)) == "−0.1966"
    assert tensor_text(torch.zeros(2, 3)) == "2×3 ‖0‖"
    text = str(graph(lambda x, y, z: (x + y) * z, _scalars(x=-2.0, y=5.0, z=-4.0)))
    assert "+ → ×                 3        −4" in text
    assert "gradient of z: 3" in text
    assert "add distributes" in text
    assert "max routes" not in text


@pytest.mark.parametrize(
    ("function", "pattern", "words"),
    [
        (lambda x, y: x - y, "subtract", "subtracted gets the gradient with its sign turned"),
        (lambda x, y: torch.rsub(x, y), "subtract", "the other input as it comes"),
        (lambda x, y: x / y, "divide", "that times minus the quotient"),
        (lambda x, y: torch.stack([x, y]).mean(), "mean", "the same share of the gradient"),
        (lambda x, y: torch.minimum(x, y), "min", "the smallest input gets the gradient"),
        (lambda x, y: torch.add(x, y, alpha=3), "", ""),
        (lambda x, y: torch.div(x, y, rounding_mode="floor"), "", ""),
    ],
)
def test_words_say_what_each_operation_does_to_the_gradient(function, pattern, words):
    """Differences of the function itself say which input gets what."""
    values = _scalars(x=3.0, y=-2.0)
    found = graph(function, values)
    last = [node for node in found.nodes if node.kind == "operation"][-1]
    assert last.pattern == pattern
    assert words in str(found)
    (expected,) = numerical_gradient(lambda v: function(*v), torch.tensor([3.0, -2.0]).double())
    assert _gradients(found, "x", "y") == pytest.approx(expected.tolist(), abs=1e-6)


@pytest.mark.parametrize("direction", ["right", "down"])
def test_the_picture_is_a_self_contained_document(direction):
    network, x = _network_and_input()
    for depth in (None, 1):
        svg = graph_svg(graph(network, x, depth=depth), direction=direction, title="a < b")
        tree = ET.fromstring(svg)
        assert tree.tag.endswith("svg")
        assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")
        assert "prefers-color-scheme:dark" in svg
        width, height = float(tree.get("width")), float(tree.get("height"))
        for text in tree.iter("{http://www.w3.org/2000/svg}text"):
            assert 0 <= float(text.get("x")) <= width
            assert 0 <= float(text.get("y")) <= height


def test_boxes_and_labels_of_the_picture_keep_apart():
    found = graph(
        lambda x, y, z, w: 2 * (x * y + torch.maximum(z, w) + x * x),
        _scalars(x=3.0, y=-4.0, z=2.0, w=-1.0),
    )
    tree = ET.fromstring(graph_svg(found))
    texts = [
        (float(t.get("x")), float(t.get("y")))
        for t in tree.iter("{http://www.w3.org/2000/svg}text")
        if "number" in t.get("class")
    ]
    for number, (x, y) in enumerate(texts):
        for a, b in texts[number + 1 :]:
            assert abs(x - a) > 8 or abs(y - b) >= 12
