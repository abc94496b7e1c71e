"""The measured networks in Keras 3's functional form."""

import keras
from cases import CASES, LITE0
from keras import layers

__all__ = ["build"]


def build(name: str) -> keras.Model:
    """A network with fresh weights, in the data format that Keras is set to."""
    case = CASES[name]
    last = keras.config.image_data_format() == "channels_last"
    size = (case.side, case.side)
    entry = keras.Input((*size, case.channels) if last else (case.channels, *size))
    makers = {
        "lenet": _lenet,
        "vgg": _vgg,
        "resnet20": lambda x, k: _resnet(x, k, (16, 32, 64), 3, "A"),
        "resnet18": lambda x, k: _resnet(x, k, (64, 128, 256, 512), 2, "B"),
        "wide": _wide,
        "alexnet": _alexnet,
        "lite0-128": _lite0,
        "lite0-224": _lite0,
        "unet": _unet,
    }
    return keras.Model(entry, makers[name](entry, case.classes))


def _axis() -> int:
    return -1 if keras.config.image_data_format() == "channels_last" else 1


def _conv(x, width: int, kernel: int = 3, stride: int = 1, bias: bool = False, same: bool = True):
    padding = "same" if same and stride == 1 else "valid"
    if same and stride > 1:  # symmetric, as the papers pad
        x = layers.ZeroPadding2D(kernel // 2)(x)
    return layers.Conv2D(width, kernel, stride, padding=padding, use_bias=bias)(x)


def _norm(x, **options):
    return layers.BatchNormalization(axis=_axis(), **{"momentum": 0.9, "epsilon": 1e-5, **options})(
        x
    )


def _relu(x):
    return layers.ReLU()(x)


def _lenet(x, classes: int):
    x = layers.MaxPooling2D()(_relu(_conv(x, 6, 5, bias=True)))
    x = layers.MaxPooling2D()(_relu(_conv(x, 16, 5, bias=True, same=False)))
    x = layers.Flatten()(x)
    for width in (120, 84):
        x = layers.Dense(width, activation="relu")(x)
    return layers.Dense(classes)(x)


def _vgg(x, classes: int):
    for width in (32, 64, 128):
        for _ in range(2):
            x = _relu(_norm(_conv(x, width)))
        x = layers.MaxPooling2D()(x)
    return layers.Dense(classes)(layers.Flatten()(x))


class PaddedShortcut(layers.Layer):
    """Every second pixel, and zeros for the channels that are new."""

    def __init__(self, new: int) -> None:
        super().__init__()
        self.new = new

    def call(self, x):
        ends = (self.new // 2, self.new // 2)
        if _axis() == -1:
            return keras.ops.pad(x[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), ends))
        return keras.ops.pad(x[:, :, ::2, ::2], ((0, 0), ends, (0, 0), (0, 0)))


def _resnet(x, classes: int, widths: tuple[int, ...], blocks: int, option: str):
    x = _relu(_norm(_conv(x, widths[0])))
    num_in = widths[0]
    for stage, width in enumerate(widths):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            y = _relu(_norm(_conv(x, width, stride=stride)))
            y = _norm(_conv(y, width))
            if width != num_in:
                if option == "B":
                    x = _norm(layers.Conv2D(width, 1, stride, use_bias=False)(x))
                else:
                    x = PaddedShortcut(width - num_in)(x)
            x = _relu(layers.Add()([x, y]))
            num_in = width
    return layers.Dense(classes)(layers.GlobalAveragePooling2D()(x))


class Whitening(layers.Layer):
    """A 2×2 convolution of which only the bias is trained."""

    def build(self, shape) -> None:
        self.weight = self.add_weight(shape=(2, 2, 3, 24), trainable=False)
        self.bias = self.add_weight(shape=(24,), initializer="zeros")

    def call(self, x):
        bias = self.bias if _axis() == -1 else keras.ops.reshape(self.bias, (1, 24, 1, 1))
        return keras.ops.conv(x, self.weight, padding="valid") + bias


def _gelu(x):
    return layers.Activation(lambda y: keras.activations.gelu(y, approximate=False))(x)


def _wide(x, classes: int):
    x = _gelu(Whitening()(x))
    for width in (64, 256, 256):
        x = layers.MaxPooling2D()(_conv(x, width))
        x = _gelu(_norm(x, momentum=0.6, epsilon=1e-12, scale=False))
        x = _gelu(_norm(_conv(x, width), momentum=0.6, epsilon=1e-12, scale=False))
    x = layers.GlobalMaxPooling2D()(x)
    return layers.Rescaling(1 / 9)(layers.Dense(classes, use_bias=False)(x))


def _relu6(x):
    return layers.ReLU(max_value=6)(x)


def _lite0(x, classes: int):
    x = _relu6(_norm(_conv(x, 32, stride=2)))
    for count, kernel, stride, expansion, width in LITE0:
        for number in range(count):
            step = stride if number == 0 else 1
            channels = x.shape[_axis()]
            y = x
            if expansion > 1:
                y = _relu6(_norm(_conv(y, channels * expansion, 1)))
            if step > 1:
                y = layers.ZeroPadding2D(kernel // 2)(y)
            padding = "valid" if step > 1 else "same"
            y = layers.DepthwiseConv2D(kernel, step, padding=padding, use_bias=False)(y)
            y = _norm(_conv(_relu6(_norm(y)), width, 1))
            x = layers.Add()([x, y]) if step == 1 and channels == width else y
    x = layers.GlobalAveragePooling2D()(_relu6(_norm(_conv(x, 1280, 1))))
    return layers.Dense(classes)(layers.Dropout(0.2)(x))


def _alexnet(x, classes: int):
    x = layers.ZeroPadding2D(2)(x)
    x = _relu(_conv(x, 64, 11, stride=4, bias=True, same=False))
    x = layers.MaxPooling2D(3, 2)(x)
    x = layers.MaxPooling2D(3, 2)(_relu(_conv(x, 192, 5, bias=True)))
    for width in (384, 256, 256):
        x = _relu(_conv(x, width, bias=True))
    x = layers.Flatten()(layers.MaxPooling2D(3, 2)(x))
    for _ in range(2):
        x = layers.Dense(4096, activation="relu")(layers.Dropout(0.5)(x))
    return layers.Dense(classes)(x)


def _unet(x, classes: int, width: int = 32, depth: int = 4):
    def units(x, width: int):
        for _ in range(2):
            x = _relu(_norm(_conv(x, width, bias=True)))
        return x

    beside = []
    for stage in range(depth):
        x = units(x, width * 2**stage)
        beside.append(x)
        x = layers.MaxPooling2D()(x)
    x = units(x, width * 2**depth)
    for stage in reversed(range(depth)):
        x = layers.Conv2DTranspose(width * 2**stage, 2, 2)(x)
        x = units(layers.Concatenate(axis=_axis())([beside.pop(), x]), width * 2**stage)
    x = _conv(x, classes, 1, bias=True)
    # The loss reads scores on the last axis.
    return x if _axis() == -1 else layers.Permute((2, 3, 1))(x)
