"""LeNet-5, forward and backward, and the few lines that train it.

| layer | what                       | values       | parameters |
|-------|----------------------------|--------------|------------|
| input | image                      | 1 × 32 × 32  |            |
| C1    | 6 convolutions of 5 × 5    | 6 × 28 × 28  | 156        |
| S2    | subsampling by 2           | 6 × 14 × 14  | 12         |
| C3    | 16 convolutions of 5 × 5   | 16 × 10 × 10 | 2 416      |
| S4    | subsampling by 2           | 16 × 5 × 5   | 32         |
| C5    | 120 convolutions of 5 × 5  | 120 × 1 × 1  | 48 120     |
| F6    | fully connected            | 84           | 10 164     |
| F7    | fully connected, scores    | K            | 85 · K     |

Source: LeCun, Bottou, Bengio & Haffner (1998), section II.B. Three departures, all usual
today: each map of C3 sees all maps of S2, tanh is not scaled, and the last layer gives scores
for a softmax instead of distances to drawn prototypes.
"""

import numpy as np
from jaxtyping import Float, Int

from striate.calculus.reference.activation import tanh, tanh_bp
from striate.calculus.reference.array import Array, Labels
from striate.calculus.reference.convolution import convolution, convolution_bp
from striate.calculus.reference.linear import fully_connected, fully_connected_bp
from striate.calculus.reference.loss import softmax_cross_entropy_bp
from striate.calculus.reference.pooling import subsampling, subsampling_bp
from striate.errors import ShapeError

__all__ = ["Parameters", "lenet", "lenet_bp", "lenet_parameters", "train_lenet"]

Parameters = dict[str, list[Array]]
"""For each layer its weight and its bias; the gradients come in the same form."""


def lenet(
    x: Float[Array, "B 1 32 32"], theta: Parameters
) -> tuple[Float[Array, "B K"], tuple[Array, ...]]:
    """The scores, and the values on the way that the way back will ask for.

    Example:
        >>> theta = lenet_parameters(10, np.random.default_rng(0))
        >>> scores, values = lenet(np.zeros((3, 1, 32, 32)), theta)
        >>> scores.shape
        (3, 10)
    """
    c1 = convolution(x, *theta["C1"])  # B 6 28 28
    s2 = subsampling(tanh(c1), *theta["S2"], window=(2, 2), stride=2)  # B 6 14 14
    c3 = convolution(tanh(s2), *theta["C3"])  # B 16 10 10
    s4 = subsampling(tanh(c3), *theta["S4"], window=(2, 2), stride=2)  # B 16 5 5
    c5 = convolution(tanh(s4), *theta["C5"])  # B 120 1 1
    f6 = fully_connected(tanh(c5[:, :, 0, 0]), *theta["F6"])  # B 84
    s = fully_connected(tanh(f6), *theta["F7"])  # B K
    return s, (x, c1, s2, c3, s4, c5, f6)


def lenet_bp(
    delta: Float[Array, "B K"], values: tuple[Array, ...], theta: Parameters
) -> Parameters:
    """The gradients by all parameters: the lines of `lenet` from last to first, each as f^BP.

    Args:
        delta: The gradient of the loss by the scores.
        values: Values that `lenet` kept.
        theta: The parameters.

    Example:
        >>> theta = lenet_parameters(10, np.random.default_rng(0))
        >>> scores, values = lenet(np.zeros((3, 1, 32, 32)), theta)
        >>> gradients = lenet_bp(np.ones((3, 10)), values, theta)
        >>> gradients["F7"][1]
        array([3., 3., 3., 3., 3., 3., 3., 3., 3., 3.])
    """
    x, c1, s2, c3, s4, c5, f6 = values
    gradients: Parameters = {}
    delta, *gradients["F7"] = fully_connected_bp(delta, tanh(f6), *theta["F7"])
    delta = tanh_bp(delta, f6)
    delta, *gradients["F6"] = fully_connected_bp(delta, tanh(c5[:, :, 0, 0]), *theta["F6"])
    delta = tanh_bp(delta[:, :, None, None], c5)
    delta, *gradients["C5"] = convolution_bp(delta, tanh(s4), *theta["C5"])
    delta = tanh_bp(delta, s4)
    delta, *gradients["S4"] = subsampling_bp(delta, tanh(c3), *theta["S4"], window=(2, 2), stride=2)
    delta = tanh_bp(delta, c3)
    delta, *gradients["C3"] = convolution_bp(delta, tanh(s2), *theta["C3"])
    delta = tanh_bp(delta, s2)
    delta, *gradients["S2"] = subsampling_bp(delta, tanh(c1), *theta["S2"], window=(2, 2), stride=2)
    delta = tanh_bp(delta, c1)
    _, *gradients["C1"] = convolution_bp(delta, x, *theta["C1"])
    return gradients


def lenet_parameters(num_classes: int, generator: np.random.Generator) -> Parameters:
    """Weights to start from: normal with variance 1 / (inputs of a unit), biases 0.

    Source: LeCun, Bottou, Orr & Müller (1998), Efficient BackProp, equation 16.

    Example:
        >>> theta = lenet_parameters(10, np.random.default_rng(0))
        >>> sum(part.size for layer in theta.values() for part in layer)
        61750
    """
    kernels = {"C1": (6, 1, 5, 5), "C3": (16, 6, 5, 5), "C5": (120, 16, 5, 5)}
    matrices = {"F6": (84, 120), "F7": (num_classes, 84)}
    # A weight of 1/4 makes subsampling the mean of its 2 × 2 window.
    theta = {"S2": [np.full(6, 0.25), np.zeros(6)], "S4": [np.full(16, 0.25), np.zeros(16)]}
    for name, shape in (kernels | matrices).items():
        num_inputs = np.prod(shape[1:])
        weight = generator.normal(scale=num_inputs**-0.5, size=shape)
        theta[name] = [weight, np.zeros(shape[0])]
    return theta


def train_lenet(
    images: Float[Array, "N C H W"],
    labels: Int[Labels, "N"],
    generator: np.random.Generator,
    epochs: int = 8,
    batch_size: int = 32,
    learning_rate: float = 0.02,
    momentum: float = 0.9,
) -> Parameters:
    """LeNet's parameters after stochastic gradient descent on the softmax cross-entropy.

    Args:
        images: Grey images of 32 × 32 (C = 1), best with mean 0 and deviation 1.
        labels: True classes 0 … K−1.
        generator: Draws the first weights and the order of the examples.
        epochs: Passes over all images.
        batch_size: Images per step.
        learning_rate: Length of a step.
        momentum: Share of the last step that the next one keeps.

    Raises:
        ShapeError: the images are not grey images of 32 × 32.

    Source: momentum as in Rumelhart, Hinton & Williams (1986), equation 9.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> images = rng.normal(size=(4, 1, 32, 32))
        >>> theta = train_lenet(images, np.array([0, 1, 1, 0]), rng, epochs=1)
        >>> list(theta["F7"][0].shape)
        [2, 84]
    """
    if images.shape[1:] != (1, 32, 32):
        raise ShapeError(
            f"LeNet reads grey images of shape (N, 1, 32, 32); these are {images.shape}. "
            "Enlarge or pad them to 32 × 32."
        )
    theta = lenet_parameters(int(labels.max()) + 1, generator)
    velocity = {name: [np.zeros_like(part) for part in layer] for name, layer in theta.items()}
    for _ in range(epochs):
        order = generator.permutation(len(images))
        for start in range(0, len(images), batch_size):
            chosen = order[start : start + batch_size]
            scores, values = lenet(images[chosen], theta)
            delta = softmax_cross_entropy_bp(1.0, scores, labels[chosen])
            gradients = lenet_bp(delta, values, theta)
            for name, layer in theta.items():
                for part, v, gradient in zip(layer, velocity[name], gradients[name], strict=True):
                    v *= momentum
                    v -= learning_rate * gradient
                    part += v
    return theta
