"""The equations of backpropagation in plain array code: no autograd, one small pair at a time.

Every block is a function f and its partner f_bp. With y = f(x) and p = ∂L/∂y, the gradient of
the loss by the output (textbooks call it δ),

    f_bp(p, x)  =  Jᵀp  =  ∂L/∂x        J = ∂y/∂x, the Jacobian, which is never built,

is the gradient by the input: a gradient goes in, a gradient comes out. A partner takes p and
then whatever f takes; it returns the gradient of each array that can be learnt or passed on,
in the same order. Backpropagation is the partners in reverse order, and nothing else.

The files, to be read in this order:

1. `linear`         a layer is a sum of products
2. `activation`     each number by itself
3. `loss`           where backpropagation starts: equation 1
4. `window`         a window slides over the input, in 1, 2 or 3 dimensions
5. `convolution`    the same layer at every window: equations 2, 3 and 4
6. `pooling`        one number for each window
7. `lenet`          the layers together, and learning
8. `normalisation`  a number among its neighbours (AlexNet, batch normalisation)
9. `residual`       two ways from x to y
10. `recurrent`     one step in time
11. `time`          many steps with the same weights

Axes: B batch, C channels, M maps (a convolution's output channels), K classes, T time,
H units of a state, *S spatial; F counts the numbers in a window, O its stops.
"""

from striate.calculus.reference.activation import (
    dropout,
    dropout_bp,
    relu,
    relu_bp,
    sigmoid,
    sigmoid_bp,
    tanh,
    tanh_bp,
)
from striate.calculus.reference.array import (
    Array,
    Labels,
)
from striate.calculus.reference.convolution import (
    convolution,
    convolution_bp,
    kernel_gradient,
    transposed_convolution,
    transposed_convolution_bp,
)
from striate.calculus.reference.lenet import (
    Parameters,
    lenet,
    lenet_bp,
    lenet_parameters,
    train_lenet,
)
from striate.calculus.reference.linear import (
    fully_connected,
    fully_connected_bp,
    spread,
    spread_bp,
)
from striate.calculus.reference.loss import (
    hinge,
    hinge_bp,
    softmax,
    softmax_bp,
    softmax_cross_entropy,
    softmax_cross_entropy_bp,
)
from striate.calculus.reference.normalisation import (
    batch_normalisation,
    batch_normalisation_bp,
    local_response_normalisation,
    local_response_normalisation_bp,
)
from striate.calculus.reference.pooling import (
    average_pooling,
    average_pooling_bp,
    max_pooling,
    max_pooling_bp,
    subsampling,
    subsampling_bp,
)
from striate.calculus.reference.recurrent import (
    gru_cell,
    gru_cell_bp,
    lstm_cell,
    lstm_cell_bp,
    simple_rnn_cell,
    simple_rnn_cell_bp,
)
from striate.calculus.reference.residual import (
    addition,
    addition_bp,
    residual_block,
    residual_block_bp,
    shortcut_a,
    shortcut_a_bp,
)
from striate.calculus.reference.time import (
    gru,
    gru_bp,
    lstm,
    lstm_bp,
    simple_rnn,
    simple_rnn_bp,
    through_time,
    through_time_bp,
)
from striate.calculus.reference.window import (
    output_size,
    window_table,
    windows,
    windows_bp,
)

__all__ = [  # noqa: RUF022 -- in the order of reading
    "Array",
    "Labels",
    # linear
    "fully_connected",
    "fully_connected_bp",
    "spread",
    "spread_bp",
    # activation
    "dropout",
    "dropout_bp",
    "relu",
    "relu_bp",
    "sigmoid",
    "sigmoid_bp",
    "tanh",
    "tanh_bp",
    # loss
    "hinge",
    "hinge_bp",
    "softmax",
    "softmax_bp",
    "softmax_cross_entropy",
    "softmax_cross_entropy_bp",
    # window
    "output_size",
    "window_table",
    "windows",
    "windows_bp",
    # convolution
    "convolution",
    "convolution_bp",
    "kernel_gradient",
    "transposed_convolution",
    "transposed_convolution_bp",
    # pooling
    "average_pooling",
    "average_pooling_bp",
    "max_pooling",
    "max_pooling_bp",
    "subsampling",
    "subsampling_bp",
    # lenet
    "Parameters",
    "lenet",
    "lenet_bp",
    "lenet_parameters",
    "train_lenet",
    # normalisation
    "batch_normalisation",
    "batch_normalisation_bp",
    "local_response_normalisation",
    "local_response_normalisation_bp",
    # residual
    "addition",
    "addition_bp",
    "residual_block",
    "residual_block_bp",
    "shortcut_a",
    "shortcut_a_bp",
    # recurrent
    "gru_cell",
    "gru_cell_bp",
    "lstm_cell",
    "lstm_cell_bp",
    "simple_rnn_cell",
    "simple_rnn_cell_bp",
    # time
    "gru",
    "gru_bp",
    "lstm",
    "lstm_bp",
    "simple_rnn",
    "simple_rnn_bp",
    "through_time",
    "through_time_bp",
]
