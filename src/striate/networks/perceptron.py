"""Multi-layer perceptron: fully connected layers with a non-linearity between them.

Rumelhart, Hinton, Williams (1986): Learning representations by back-propagating errors.
The sizes that LeCun, Bottou, Bengio, Haffner (1998), section III.C, compare on 28 × 28
digits, with their test errors:

| hidden      | layers | parameters | error |
|-------------|--------|------------|-------|
| (300,)      | 2      | 238,510    | 4.7 % |
| (1000,)     | 2      | 795,010    | 4.5 % |
| (300, 100)  | 3      | 266,610    | 3.05 %|
| (500, 150)  | 3      | 469,160    | 2.95 %|

| stage   | shape        |
|---------|--------------|
| input   | C × *S       |
| flatten | C·∏S         |
| hidden  | hidden[0], then hidden[1], ... each with the activation |
| head    | K            |

Departures: ReLU by default (`activation="tanh"` or `"sigmoid"` gives the old forms); He
initialisation for ReLU, Glorot's for the two that saturate.
"""

import itertools
import math

from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ConfigError
from striate.networks.shape import check_choice, check_input, check_ndim, full_size

_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


class Perceptron(nn.Module):
    """Multi-layer perceptron with any number of hidden layers.

    Args:
        num_classes: K.
        in_channels: C.
        ndim: number of spatial dimensions.
        input_size: spatial size of the input, pixels.
        hidden: widths of the hidden layers, first to last.
        activation: "relu", "tanh" or "sigmoid".

    Example:
        >>> import torch
        >>> network = Perceptron(10, 1, input_size=(28, 28), hidden=(300, 100))
        >>> network(torch.randn(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        *,
        ndim: int = 2,
        input_size: tuple[int, ...],
        hidden: tuple[int, ...] = (300, 100),
        activation: str = "relu",
    ) -> None:
        super().__init__()
        check_ndim("mlp", ndim)
        check_choice("mlp", "activation", activation, tuple(_ACTIVATIONS))
        if not hidden or min(hidden) < 1:
            raise ConfigError(
                f"mlp: hidden={hidden!r} must be one or more positive widths, for example "
                "(300, 100); without a hidden layer the network is called linear."
            )
        self.in_channels, self.ndim = in_channels, ndim
        self.input_size = full_size("mlp", input_size, ndim)
        widths = (in_channels * math.prod(self.input_size), *hidden)
        relu = activation == "relu"
        initialise = nn.init.kaiming_normal_ if relu else nn.init.xavier_uniform_
        layers: list[nn.Module] = []
        for num_in, num_out in itertools.pairwise(widths):
            layer = nn.Linear(num_in, num_out)
            initialise(layer.weight)
            nn.init.zeros_(layer.bias)
            layers += [layer, _ACTIVATIONS[activation]()]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B K"]:
        check_input("mlp", x, self.in_channels, self.ndim, size=self.input_size)
        x = self.features(x.flatten(1))  # B×C×*S -> B×hidden[-1]
        scores: Tensor = self.head(x)
        return scores
