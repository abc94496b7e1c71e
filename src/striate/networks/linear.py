"""The linear classifier: scores s = W x + b, one template of the input's size per class.

Each row of W, put back into the shape of an image, is the template that a class is matched
with; the score is the inner product with the image plus a bias. With softmax cross-entropy
it is multinomial logistic regression, with the hinge loss a multi-class SVM.

| stage   | shape            | parameters      |
|---------|------------------|-----------------|
| input   | C × *S           |                 |
| flatten | M = C·∏S         |                 |
| head    | K                | K·M + K         |

For CIFAR-10 (C = 3, 32 × 32): M = 3,072 and 30,730 parameters.

Departure from the textbook: W starts at zero, not at small random numbers. The problem is
convex, so that the start changes nothing but the time, and at zero the loss of the first
step is exactly log K.
"""

import math

from jaxtyping import Float
from torch import Tensor, nn

from striate.networks.shape import check_input, check_ndim, full_size


class Linear(nn.Module):
    """Linear classifier: one template per class.

    Args:
        num_classes: K.
        in_channels: C.
        ndim: number of spatial dimensions.
        input_size: spatial size of the input, pixels.

    Example:
        >>> import torch
        >>> network = Linear(10, input_size=(32, 32))
        >>> network(torch.randn(2, 3, 32, 32)).shape
        torch.Size([2, 10])
        >>> network.templates().shape
        torch.Size([10, 3, 32, 32])
    """

    def __init__(
        self, num_classes: int, in_channels: int = 3, *, ndim: int = 2, input_size: tuple[int, ...]
    ) -> None:
        super().__init__()
        check_ndim("linear", ndim)
        self.in_channels, self.ndim = in_channels, ndim
        self.input_size = full_size("linear", input_size, ndim)
        self.head = nn.Linear(in_channels * math.prod(self.input_size), num_classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B K"]:
        check_input("linear", x, self.in_channels, self.ndim, size=self.input_size)
        scores: Tensor = self.head(x.flatten(1))  # B×C×*S -> B×K
        return scores

    def templates(self) -> Float[Tensor, "K C *S"]:
        """The rows of W in the shape of the input, one image per class."""
        return self.head.weight.detach().reshape(-1, self.in_channels, *self.input_size)
