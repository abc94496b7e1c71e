"""GoogLeNet: inception modules that read several scales at once, and auxiliary heads.

Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke, Rabinovich (2015): Going
Deeper with Convolutions, table 1 and figure 3. For 3 × 224 × 224:

| stage        | 1×1 | 3×3 reduce, 3×3 | 5×5 reduce, 5×5 | pool proj | shape        |
|--------------|-----|-----------------|-----------------|-----------|--------------|
| conv1        | 7×7 conv /2, 3×3 max pool /2 |      |           |           | 64 × 56 × 56 |
| conv2, conv3 | 1×1 conv, 3×3 conv, 3×3 max pool /2 | |         |           | 192 × 28 × 28 |
| inception3a  | 64  | 96, 128         | 16, 32          | 32        | 256 × 28 × 28 |
| inception3b  | 128 | 128, 192        | 32, 96          | 64        | 480, pooled to 14 × 14 |
| inception4a  | 192 | 96, 208         | 16, 48          | 64        | 512 × 14 × 14; auxiliary0 |
| inception4b  | 160 | 112, 224        | 24, 64          | 64        | 512 × 14 × 14 |
| inception4c  | 128 | 128, 256        | 24, 64          | 64        | 512 × 14 × 14 |
| inception4d  | 112 | 144, 288        | 32, 64          | 64        | 528 × 14 × 14; auxiliary1 |
| inception4e  | 256 | 160, 320        | 32, 128         | 128       | 832, pooled to 7 × 7 |
| inception5a  | 256 | 160, 320        | 32, 128         | 128       | 832 × 7 × 7  |
| inception5b  | 384 | 192, 384        | 48, 128         | 128       | 1024 × 7 × 7 |
| head         | global average, dropout, linear |   |           |           | K = 1000     |

`batch_norm=True` (the default) is the network whose weights torchvision publishes: batch
normalisation, no biases, and 3×3 kernels in the "5×5" branch; 6,624,904 parameters without
the auxiliary heads and 1.50 G multiply-adds. `batch_norm=False` is the paper's: biases,
response normalisation around conv2 and conv3, 5×5 kernels; 6,998,552 parameters and 1.58 G
multiply-adds. The paper's table 1 counts weights without biases in units of 1024 and adds up
to 6,798 K and 1,502 M. It agrees with its own layers at conv2 to 3b and the head; it has 2.7 K
for conv1 (7·7·3·64 are 9.2 K), 463 K for 4c (497 K), 1,072 K for 5a (1,018 K), and smaller
slips elsewhere; the layers add up to 6,826 K.

While training, the output is `(scores, auxiliary0, auxiliary1)`; the auxiliary losses weigh
0.3. Departures: auxiliary heads average onto a 4 × 4 grid, equal to the paper's 5×5 /3 on
14 × 14, and work for other sizes; dropout before the head is 0.2 with batch normalisation, as
in torchvision, and the paper's 0.4 without.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.layers import adaptive_average_pool, batch_norm, conv, max_pool
from striate.networks.shape import check_input, check_ndim

_MODULES: dict[str, tuple[int, ...]] = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def _unit(
    num_in: int, num_out: int, kernel: int, ndim: int, normalise: bool, stride: int = 1
) -> nn.Sequential:
    """Convolution, perhaps batch normalisation, ReLU."""
    layer = conv(ndim)(
        num_in, num_out, kernel, stride=stride, padding=kernel // 2, bias=not normalise
    )
    nn.init.kaiming_normal_(layer.weight)
    # TensorFlow's eps, from which the published weights come
    norm = [batch_norm(ndim)(num_out, eps=1e-3)] if normalise else []
    return nn.Sequential(layer, *norm, nn.ReLU())


class Inception(nn.Module):
    """1×1, 3×3, 5×5 and pooling side by side, the wide ones behind 1×1 reductions."""

    def __init__(self, num_in: int, widths: tuple[int, ...], ndim: int, normalise: bool) -> None:
        super().__init__()
        one, reduce3, three, reduce5, five, project = widths
        kernel = 3 if normalise else 5
        self.one = _unit(num_in, one, 1, ndim, normalise)
        self.reduce3 = _unit(num_in, reduce3, 1, ndim, normalise)
        self.three = _unit(reduce3, three, 3, ndim, normalise)
        self.reduce5 = _unit(num_in, reduce5, 1, ndim, normalise)
        self.five = _unit(reduce5, five, kernel, ndim, normalise)
        self.pool = max_pool(ndim)(3, stride=1, padding=1)
        self.project = _unit(num_in, project, 1, ndim, normalise)
        self.num_out = one + three + five + project

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B M *S"]:
        three = self.three(self.reduce3(x))
        five = self.five(self.reduce5(x))
        return torch.cat((self.one(x), three, five, self.project(self.pool(x))), dim=1)


class Auxiliary(nn.Module):
    """A head on a 4 × 4 grid half-way: 1×1 to 128, full 1024, dropout 0.7, linear."""

    def __init__(self, num_in: int, num_classes: int, ndim: int, normalise: bool) -> None:
        super().__init__()
        self.grid = adaptive_average_pool(ndim)(4)
        self.conv = _unit(num_in, 128, 1, ndim, normalise)
        self.full = nn.Linear(128 * 4**ndim, 1024)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(0.7)
        self.head = nn.Linear(1024, num_classes)

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B K"]:
        x = self.conv(self.grid(x)).flatten(1)  # -> B×128·4^ndim
        scores: Tensor = self.head(self.dropout(self.relu(self.full(x))))
        return scores


class GoogLeNet(nn.Module):
    """GoogLeNet with auxiliary heads.

    Args:
        num_classes: K.
        in_channels: C.
        ndim: number of spatial dimensions.
        batch_norm: torchvision's form, or the paper's (see above).
        auxiliary: whether to build the two auxiliary heads.

    Example:
        >>> network = GoogLeNet(10).eval()
        >>> network(torch.randn(2, 3, 64, 64)).shape
        torch.Size([2, 10])
        >>> [scores.shape for scores in network.train()(torch.randn(2, 3, 64, 64))]
        [torch.Size([2, 10]), torch.Size([2, 10]), torch.Size([2, 10])]
    """

    natural_size = 224
    heads = ("head", "auxiliary0.head", "auxiliary1.head")
    auxiliary_weight = 0.3

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        *,
        ndim: int = 2,
        batch_norm: bool = True,
        auxiliary: bool = True,
    ) -> None:
        super().__init__()
        check_ndim("googlenet", ndim)
        self.in_channels, self.ndim = in_channels, ndim
        self.smallest = 15 if batch_norm else 31  # below, a pooling gets a single pixel
        self.conv1 = _unit(in_channels, 64, 7, ndim, batch_norm, stride=2)
        self.conv2 = _unit(64, 64, 1, ndim, batch_norm)
        self.conv3 = _unit(64, 192, 3, ndim, batch_norm)
        # as AlexNet's, but k = 1, as Caffe's form of this network has it
        self.response = nn.Identity() if batch_norm else nn.LocalResponseNorm(5)
        self.pool = max_pool(ndim)(3, stride=2, ceil_mode=True)
        # torchvision's last pooling is 2×2, the paper's 3×3
        self.pool4 = max_pool(ndim)(2 if batch_norm else 3, stride=2, ceil_mode=True)
        num_in, ends = 192, {}
        for name, widths in _MODULES.items():
            module = Inception(num_in, widths, ndim, batch_norm)
            self.add_module(f"inception{name}", module)
            num_in = ends[name] = module.num_out
        self.auxiliary0 = self.auxiliary1 = None
        if auxiliary:
            self.auxiliary0 = Auxiliary(ends["4a"], num_classes, ndim, batch_norm)
            self.auxiliary1 = Auxiliary(ends["4d"], num_classes, ndim, batch_norm)
        self.average = adaptive_average_pool(ndim)(1)
        self.dropout = nn.Dropout(0.2 if batch_norm else 0.4)
        self.head = nn.Linear(num_in, num_classes)

    def forward(
        self, x: Float[Tensor, "B C *S"]
    ) -> Float[Tensor, "B K"] | tuple[Float[Tensor, "B K"], ...]:
        check_input("googlenet", x, self.in_channels, self.ndim, smallest=self.smallest)
        x = self.response(self.pool(self.conv1(x)))  # B×C×224×224 -> B×64×56×56
        x = self.pool(self.response(self.conv3(self.conv2(x))))  # -> B×192×28×28
        x = self.pool(self._through(x, "3a", "3b"))  # -> B×480×14×14
        x = after_4a = self._through(x, "4a")
        x = after_4d = self._through(x, "4b", "4c", "4d")
        x = self.pool4(self._through(x, "4e"))  # -> B×832×7×7
        x = self._through(x, "5a", "5b")  # -> B×1024×7×7
        scores: Tensor = self.head(self.dropout(self.average(x).flatten(1)))
        if not self.training or self.auxiliary0 is None or self.auxiliary1 is None:
            return scores
        return scores, self.auxiliary0(after_4a), self.auxiliary1(after_4d)

    def _through(self, x: Tensor, *names: str) -> Tensor:
        for name in names:
            x = self.get_submodule(f"inception{name}")(x)
        return x
