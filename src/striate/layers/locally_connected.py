"""A convolution without weight sharing: every output position has a kernel of its own."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ShapeError
from striate.layers.matrix import pad_axes, sliding_windows
from striate.layers.window import PerAxis, check_axes, windows

__all__ = ["LocallyConnected"]


class LocallyConnected(nn.Module):
    """y[m, o] = b[m, o] + Σ_c,j W[o, m, c, j] · x[c, o·S − P + j·δ].

    Cost: the multiply-adds of the convolution, but ∏O times its weights (M·C·∏F·∏O), each read
    once per batch and not reused over the image: with small batches the time is that of reading
    the weights. The windows are copied (C·∏F·∏O numbers per item) for one batched product.

    Args:
        in_channels: C.
        out_channels: M.
        kernel_size: F, one number or one per axis.
        input_size: The spatial size, which the number of weights follows from.
        ndim: 1, 2 or 3.
        stride, padding, dilation: One number, or one per axis.
        bias: One per output value, (M, ∏O): flat, because torch refuses to lay out parameters of
            four axes for 3-D images.

    Source: Le Cun, Generalization and network design strategies (1989); Taigman et al., DeepFace
    (2014).

    Example:
        >>> layer = LocallyConnected(3, 4, 3, (8, 10), stride=2)
        >>> layer(torch.randn(2, 3, 8, 10)).shape
        torch.Size([2, 4, 3, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis,
        input_size: PerAxis,
        *,
        ndim: int = 2,
        stride: PerAxis = 1,
        padding: PerAxis = 0,
        dilation: PerAxis = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.ndim = in_channels, out_channels, ndim
        self.axes = windows(ndim, kernel_size, stride, padding, dilation)
        self.input_size = (input_size,) * ndim if isinstance(input_size, int) else tuple(input_size)
        if len(self.input_size) != ndim:
            raise ShapeError(f"input_size={input_size!r} does not have {ndim} axes.")
        self.output_size = tuple(
            window.output_size(size)
            for window, size in zip(self.axes, self.input_size, strict=True)
        )
        kernel = [window.kernel for window in self.axes]
        self.weight = nn.Parameter(
            torch.empty(*self.output_size, out_channels, in_channels, *kernel)
        )
        self.bias = (
            nn.Parameter(torch.empty(out_channels, math.prod(self.output_size))) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights and biases as torch's convolutions do: U(±1/√fan-in)."""
        bound = 1 / math.sqrt(self.weight[(0,) * self.ndim][0].numel())
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    @torch.no_grad()
    def copy_convolution(self, conv: nn.modules.conv._ConvNd) -> None:
        """Take the same kernel everywhere, after which the layer equals the convolution."""
        self.weight.copy_(conv.weight.expand_as(self.weight))
        if self.bias is not None:
            shared = torch.zeros(self.out_channels) if conv.bias is None else conv.bias
            self.bias.copy_(shared.unsqueeze(1).expand_as(self.bias))

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B M *O"]:
        check_axes(x, self.ndim, "LocallyConnected", self.in_channels)
        if tuple(x.shape[2:]) != self.input_size:
            raise ShapeError(
                f"LocallyConnected was made for images of {self.input_size}; what came has "
                f"{tuple(x.shape[2:])}. Each position has its own weights, so the size is fixed."
            )
        # The batch goes last, so that the windows are copied in runs of B numbers.
        image = pad_axes(x, self.axes).movedim(0, -1).contiguous()
        view = sliding_windows(image, self.axes, 1)
        space = range(1, 1 + self.ndim)
        columns = view.permute(*space, 0, *range(2 + self.ndim, view.ndim), 1 + self.ndim)
        positions = math.prod(self.output_size)
        product = torch.bmm(
            self.weight.flatten(self.ndim + 1).reshape(positions, self.out_channels, -1),
            columns.reshape(positions, self.weight[(0,) * (self.ndim + 1)].numel(), x.shape[0]),
        )
        y = product.view(*self.output_size, self.out_channels, x.shape[0])
        y = y.permute(self.ndim + 1, self.ndim, *range(self.ndim)).contiguous()
        return y if self.bias is None else y + self.bias.view(y.shape[1:])

    def multiply_adds(self) -> int:
        """Multiply-adds for one item."""
        return self.weight.numel()

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, {self.input_size} -> {self.output_size}"
