"""Seeing: what a network costs, what it has learned, and why it predicts what it does.

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
from striate.seeing.bent_space import bent_space
from striate.seeing.dream import dream, maximise
from striate.seeing.embedding import embedding
from striate.seeing.feature import features
from striate.seeing.filters import first_filters
from striate.seeing.flow import flow
from striate.seeing.index import build_index, nearest
from striate.seeing.landscape import landscape
from striate.seeing.patches import maps_of, top_patches
from striate.seeing.pointing import pointing
from striate.seeing.region import decision_regions, image_plane
from striate.seeing.separability import separability
from striate.seeing.table import table
from striate.seeing.target import Target, Unit
from striate.seeing.twin import twin
from striate.seeing.unlike import p_values

__all__ = [
    "Target",
    "Unit",
    "bent_space",
    "build_index",
    "decision_regions",
    "deconvnet",
    "dream",
    "embedding",
    "features",
    "first_filters",
    "flow",
    "grad_cam",
    "gradient",
    "guided_backpropagation",
    "image_plane",
    "integrated_gradients",
    "landscape",
    "maps_of",
    "maximise",
    "nearest",
    "occlusion",
    "p_values",
    "pointing",
    "separability",
    "table",
    "top_patches",
    "twin",
]
