"""The gradient check of a network with a loss and a batch, in float64, on a copy of the network."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from striate.calculus.check import check_function
from striate.calculus.report import GradientReport
from striate.errors import ConfigError
from striate.randomness import layer_randomness

Loss = Callable[..., Tensor]


def check_network(
    network: nn.Module,
    loss: Loss,
    inputs: Tensor,
    target: Tensor | None = None,
    *,
    training: bool = True,
    seed: int = 0,
    **options: Any,
) -> GradientReport:
    """Check the gradient of every parameter tensor and of the input.

    The network is copied, and the copy runs in float64. Before each evaluation torch's generator
    gets the same seed, so that dropout draws the same mask, and the buffers (running statistics
    of batch normalisation) get their old values. A frozen parameter is reported, not checked.

    Args:
        network: Any module; left as it is.
        loss: Function of scores and target to a tensor of one element. Where the network gives a
            tuple (scores, auxiliary scores...), see `total_loss`.
        inputs: a batch, (B, C, *S); checked as well when it is floating point.
        target: Target of the loss; None for a loss of the scores alone.
        training: Check the network in training mode, as it is trained, or in evaluation mode.
        seed: Random seed of dropout and of the directions.
        options: Options `elements`, `projections` and `exhaustive` of `check_function`.

    Raises:
        ConfigError: the loss is not one finite number, or not the same number twice.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> network = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
        >>> inputs, target = torch.randn(4, 3), torch.tensor([0, 1, 1, 0])
        >>> check_network(network, nn.functional.cross_entropy, inputs, target).verdict
        'The gradients of all 5 tensors are right.'
    """
    double = copy.deepcopy(network).double().train(training)
    batch = _double(inputs).detach().clone()
    if batch.is_floating_point():
        batch.requires_grad_()
    compared = None if target is None else _double(target)
    buffers = {name: buffer.clone() for name, buffer in double.named_buffers()}

    def value() -> Tensor:
        with torch.no_grad():
            for name, buffer in double.named_buffers():
                buffer.copy_(buffers[name])
        with layer_randomness(seed, "gradient check"):
            # Cloned, so that a network whose first layer works in place may do so.
            return total_loss(double, loss, double(batch.clone()), compared)

    tensors: dict[str, Tensor] = dict(double.named_parameters())
    if batch.is_floating_point():
        if "input" in tensors:
            raise ConfigError("A parameter named 'input' hides the network's input: rename it.")
        tensors["input"] = batch
    return check_function(value, tensors, seed=seed, conditions=_conditions(double), **options)


def total_loss(network: nn.Module, loss: Loss, scores: Any, target: Tensor | None) -> Tensor:
    """The loss of what a network gives: of its scores, and of auxiliary scores with their weight.

    Args:
        network: Its `auxiliary_weight` (default 1) multiplies the loss of each auxiliary head.
        loss: Function of scores and target, or of scores alone where the target is None.
        scores: a tensor (B, K, *S), or a tuple of the scores and the auxiliary scores.
        target: Target of the loss, or None.

    Source: Szegedy et al., Going deeper with convolutions, 2015, section 5.

    Example:
        >>> scores = (torch.tensor([[2.0]]), torch.tensor([[3.0]]))
        >>> network = nn.Identity()
        >>> network.auxiliary_weight = 0.3
        >>> round(float(total_loss(network, torch.sum, scores, None)), 4)
        2.9
    """

    def one(head: Tensor) -> Tensor:
        return loss(head) if target is None else loss(head, target)

    if isinstance(scores, Tensor):
        return one(scores)
    main, *auxiliary = scores
    weight = float(getattr(network, "auxiliary_weight", 1.0))
    total = one(main)
    for head in auxiliary:
        total = total + weight * one(head)
    return total


def _double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _conditions(network: nn.Module) -> tuple[str, ...]:
    """Sentences on how randomness and running statistics are held fixed."""
    dropouts = (nn.modules.dropout._DropoutNd,)
    norms = (nn.modules.batchnorm._BatchNorm,)
    mode = "training" if network.training else "evaluation"
    sentences = [f"The network is checked in {mode} mode, in float64."]
    if network.training and any(isinstance(m, dropouts) for m in network.modules()):
        sentences.append("Dropout draws the same mask each time: the generator is seeded again.")
    if network.training and any(isinstance(m, norms) for m in network.modules()):
        sentences.append(
            "Batch normalisation uses the batch's own statistics; running ones are put back."
        )
    return tuple(sentences)
