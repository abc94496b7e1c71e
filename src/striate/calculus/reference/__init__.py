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

from striate.calculus.reference.activation import *
from striate.calculus.reference.array import *
from striate.calculus.reference.convolution import *
from striate.calculus.reference.lenet import *
from striate.calculus.reference.linear import *
from striate.calculus.reference.loss import *
from striate.calculus.reference.normalisation import *
from striate.calculus.reference.pooling import *
from striate.calculus.reference.recurrent import *
from striate.calculus.reference.residual import *
from striate.calculus.reference.time import *
from striate.calculus.reference.window import *
