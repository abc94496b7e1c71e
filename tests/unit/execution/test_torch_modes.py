"""A network on Striate's operators in every way that torch's are used: transforms, second
derivatives, export, ONNX, several processes. The yardstick is torch's own network."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import jaxtyping
import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from striate import kernels
from striate.execution import accelerate
from tests.unit.execution.whole import images, native, network

pytestmark = pytest.mark.skipif(not kernels.available(), reason="the kernels are not built here")

quiet = pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
"""torch's forward mode warns of its own means."""


def parameters(module):
    return {name: p.detach() for name, p in module.named_parameters()}


def close(found, expected):
    """Off by no more than rounding in another order, relative to the largest value."""
    for name, value in expected.items():
        scale = float(value.abs().max()) + 1e-6
        torch.testing.assert_close(
            found[name].double(), value.double(), rtol=0, atol=1e-4 * scale, msg=name
        )


def both():
    plain, ours = network().eval(), accelerate(network(), native()).eval()
    return plain, ours


def energy(module, weights, x):
    return functional_call(module, weights, (x,)).square().sum()


def test_the_network_runs_natively():
    """What the other tests of this file compare with torch is really ours."""
    _, ours = both()
    with torch.profiler.profile() as record:
        ours(images()).sum().backward()
    names = {event.key for event in record.key_averages()}
    theirs = {"aten::conv2d", "aten::batch_norm", "aten::gelu", "aten::silu", "aten::linear"}
    assert names & theirs == set()


def test_gradients_of_each_image_by_vmap():
    def each(module):
        def one(weights, x):
            return energy(module, weights, x[None])

        return torch.func.vmap(torch.func.grad(one), (None, 0))(parameters(module), images()[:4])

    plain, ours = both()
    close(each(ours), each(plain))


@quiet
def test_directional_derivatives_and_products_with_the_hessian():
    draw = torch.Generator().manual_seed(3)

    def found(module):
        weights, x = parameters(module), images()
        draw.manual_seed(3)
        direction = {n: torch.randn(w.shape, generator=draw) for n, w in weights.items()}
        call = lambda w: energy(module, w, x)  # noqa: E731
        value, slope = torch.func.jvp(call, (weights,), (direction,))
        _, product = torch.func.jvp(torch.func.grad(call), (weights,), (direction,))
        return {"value": value, "slope": slope, **product}

    plain, ours = both()
    close(found(ours), found(plain))


@pytest.mark.parametrize("training", [False, True])
def test_gradients_of_gradients(training):
    def penalty(module, dtype):
        x = images(dtype).requires_grad_()
        (first,) = torch.autograd.grad(
            module.train(training)(x).square().sum(), x, create_graph=True
        )
        first.square().sum().backward()
        return {name: p.grad for name, p in module.named_parameters() if p.grad is not None}

    exact = penalty(network(torch.float64), torch.float64)
    found = penalty(accelerate(network(), native()), torch.float32)
    assert set(found) == set(exact)
    for name, value in exact.items():
        # Where a maximum or a rectifier decides otherwise by rounding, all other sums still agree.
        distance = float((found[name].double() - value).norm()) / (float(value.norm()) + 1e-6)
        assert distance < 2e-3 or float(value.norm()) < 1e-3, (name, distance)


def exported(module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(module, (images(),))


@pytest.mark.parametrize("training", [False, True])
def test_exports_with_the_ordinary_operators(training):
    plain, ours = network().train(training), accelerate(network(), native()).train(training)
    program = exported(ours)
    assert "striate" not in str(program.graph)
    # The operators are torch's now, and so are the bits but for those of fused sums.
    expected = plain(images()).detach()
    torch.testing.assert_close(program.module()(images()), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiles_whole(monkeypatch):
    """The type checks of the tests are no business of the compiler."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    torch.compiler.reset()
    plain, ours = both()
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(images()), plain(images()), rtol=1e-5, atol=1e-5)


def test_onnx_file_has_ordinary_operators_and_answers_as_the_network(tmp_path):
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    _, ours = both()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = exported(ours)
        torch.onnx.export(program, (images(),), tmp_path / "network.onnx", verbose=False)
    file = onnx.load(tmp_path / "network.onnx")
    onnx.checker.check_model(file)
    kinds = {node.op_type for node in file.graph.node}
    assert {"Conv", "MaxPool", "Gemm", "Gelu", "Relu"} <= kinds  # norms are in the convolutions
    assert {node.domain for node in file.graph.node} == {""}
    session = runtime.InferenceSession(tmp_path / "network.onnx")
    (given,) = session.get_inputs()
    x = images().contiguous()
    (answer,) = session.run(None, {given.name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(answer), ours(x).detach(), rtol=1e-3, atol=1e-3)
    assert not torch.allclose(torch.from_numpy(answer), ours(x.flip(3)).detach(), atol=1e-2)


def test_two_processes_make_the_gradients_of_the_whole_batch(tmp_path):
    worker = Path(__file__).with_name("ddp_worker.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    root = Path(__file__).parents[3]
    environment["PYTHONPATH"] = os.pathsep.join([str(root / "src"), str(root)])
    jobs = [
        subprocess.Popen(
            [sys.executable, str(worker), str(rank), str(tmp_path)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for job in jobs:
        _, complaint = job.communicate(timeout=300)
        assert job.returncode == 0, complaint
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    for name, value in first["weights"].items():
        assert torch.equal(value, second["weights"][name]), name
    whole = network(torch.float64).eval()
    labels = torch.arange(34) % 5
    F.cross_entropy(whole(images(torch.float64)), labels).backward()
    close(first["gradients"], {name: p.grad for name, p in whole.named_parameters()})
    close(second["gradients"], {name: p.grad for name, p in whole.named_parameters()})
    # A twin without the other half of the batch is far off.
    half = network(torch.float64).eval()
    F.cross_entropy(half(images(torch.float64)[:17]), labels[:17]).backward()
    with pytest.raises(AssertionError, match="weight"):
        close(first["gradients"], {name: p.grad for name, p in half.named_parameters()})
