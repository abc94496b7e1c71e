"""What a network costs, what it has learned, and why it predicts what it predicts.

Every function takes any `torch.nn.Module` and leaves nothing on it: they work on a twin, whose
modules are its own and whose tensors are the network's.
"""

from striate.seeing.attribution import (
    deconvnet,
    grad_cam,
    gradient,
    guided_backpropagation,
    integrated_gradients,
    occlusion,
)
from striate.seeing.target import Target, Unit
from striate.seeing.twin import twin

__all__ = [
    "Target",
    "Unit",
    "deconvnet",
    "grad_cam",
    "gradient",
    "guided_backpropagation",
    "integrated_gradients",
    "occlusion",
    "twin",
]
