"""The measured networks in Flax (linen), channels last, as its users write them."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from cases import CASES, LITE0

__all__ = ["build"]

_conv3 = partial(nn.Conv, kernel_size=(3, 3), use_bias=False)
_norm = partial(nn.BatchNorm, momentum=0.9)
_gelu = partial(nn.gelu, approximate=False)


def build(name: str) -> nn.Module:
    """A network; call it with `train`."""
    kinds: dict[str, Callable[[int], nn.Module]] = {
        "lenet": LeNet5,
        "vgg": VggLike,
        "resnet20": lambda k: ResNet(k, (16, 32, 64), 3, "A"),
        "resnet18": lambda k: ResNet(k, (64, 128, 256, 512), 2, "B"),
        "wide": Wide,
        "alexnet": AlexNet,
        "lite0-128": Lite0,
        "lite0-224": Lite0,
        "unet": UNet,
    }
    return kinds[name](CASES[name].classes)


def _pool(x, window: int = 2, stride: int = 2):
    return nn.max_pool(x, (window, window), (stride, stride))


class LeNet5(nn.Module):
    classes: int

    @nn.compact
    def __call__(self, x, train: bool):
        x = _pool(nn.relu(nn.Conv(6, (5, 5))(x)))
        x = _pool(nn.relu(nn.Conv(16, (5, 5), padding="VALID")(x)))
        x = x.reshape(len(x), -1)
        for width in (120, 84):
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(self.classes)(x)


class VggLike(nn.Module):
    classes: int

    @nn.compact
    def __call__(self, x, train: bool):
        for width in (32, 64, 128):
            for _ in range(2):
                x = nn.relu(_norm(use_running_average=not train)(_conv3(width)(x)))
            x = _pool(x)
        return nn.Dense(self.classes)(x.reshape(len(x), -1))


class ResNet(nn.Module):
    classes: int
    widths: tuple[int, ...]
    blocks: int
    option: str

    @nn.compact
    def __call__(self, x, train: bool):
        norm = partial(_norm, use_running_average=not train)
        x = nn.relu(norm()(_conv3(self.widths[0])(x)))
        for stage, width in enumerate(self.widths):
            for block in range(self.blocks):
                stride = 2 if stage and not block else 1
                y = nn.relu(norm()(_conv3(width, strides=stride, padding=1)(x)))
                y = norm()(_conv3(width)(y))
                new = width - x.shape[-1]
                if new and self.option == "B":
                    x = norm()(nn.Conv(width, (1, 1), strides=stride, use_bias=False)(x))
                elif new:
                    x = jnp.pad(x[:, ::2, ::2], ((0, 0),) * 3 + ((new // 2, new // 2),))
                x = nn.relu(x + y)
        return nn.Dense(self.classes)(x.mean((1, 2)))


class Wide(nn.Module):
    classes: int

    @nn.compact
    def __call__(self, x, train: bool):
        whitening = self.param("frozen", nn.initializers.orthogonal(), (2, 2, 3, 24))
        bias = self.param("bias", nn.initializers.zeros, (24,))
        x = jax.lax.conv_general_dilated(
            x,
            jax.lax.stop_gradient(whitening),
            (1, 1),
            "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        x = _gelu(x + bias)
        norm = partial(
            _norm, use_running_average=not train, momentum=0.6, epsilon=1e-12, use_scale=False
        )
        for width in (64, 256, 256):
            x = _gelu(norm()(_pool(_conv3(width)(x))))
            x = _gelu(norm()(_conv3(width)(x)))
        return nn.Dense(self.classes, use_bias=False)(x.max((1, 2))) / 9


class AlexNet(nn.Module):
    classes: int

    @nn.compact
    def __call__(self, x, train: bool):
        x = _pool(nn.relu(nn.Conv(64, (11, 11), strides=4, padding=2)(x)), 3)
        x = _pool(nn.relu(nn.Conv(192, (5, 5))(x)), 3)
        for width in (384, 256, 256):
            x = nn.relu(nn.Conv(width, (3, 3))(x))
        x = _pool(x, 3).reshape(len(x), -1)
        for _ in range(2):
            x = nn.relu(nn.Dense(4096)(nn.Dropout(0.5, deterministic=not train)(x)))
        return nn.Dense(self.classes)(x)


class Lite0(nn.Module):
    classes: int

    @nn.compact
    def __call__(self, x, train: bool):
        norm = partial(_norm, use_running_average=not train)
        x = nn.relu6(norm()(_conv3(32, strides=2, padding=1)(x)))
        for count, kernel, stride, expansion, width in LITE0:
            for number in range(count):
                step, inner = stride if number == 0 else 1, x.shape[-1] * expansion
                y = x
                if expansion > 1:
                    y = nn.relu6(norm()(nn.Conv(inner, (1, 1), use_bias=False)(y)))
                depthwise = nn.Conv(
                    inner,
                    (kernel, kernel),
                    strides=step,
                    padding=kernel // 2,
                    feature_group_count=inner,
                    use_bias=False,
                )
                y = nn.relu6(norm()(depthwise(y)))
                y = norm()(nn.Conv(width, (1, 1), use_bias=False)(y))
                x = x + y if step == 1 and x.shape[-1] == width else y
        x = nn.relu6(norm()(nn.Conv(1280, (1, 1), use_bias=False)(x))).mean((1, 2))
        return nn.Dense(self.classes)(nn.Dropout(0.2, deterministic=not train)(x))


class UNet(nn.Module):
    classes: int
    width: int = 32
    depth: int = 4

    @nn.compact
    def __call__(self, x, train: bool):
        def units(x, width: int):
            for _ in range(2):
                x = nn.Conv(width, (3, 3))(x)
                x = nn.relu(_norm(use_running_average=not train)(x))
            return x

        beside = []
        for stage in range(self.depth):
            x = units(x, self.width * 2**stage)
            beside.append(x)
            x = _pool(x)
        x = units(x, self.width * 2**self.depth)
        for stage in reversed(range(self.depth)):
            x = nn.ConvTranspose(self.width * 2**stage, (2, 2), strides=(2, 2))(x)
            x = units(jnp.concatenate((beside.pop(), x), -1), self.width * 2**stage)
        return nn.Conv(self.classes, (1, 1))(x)
