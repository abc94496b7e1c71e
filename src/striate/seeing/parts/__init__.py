"""Parts of a gallery: each is a function from a subject to panels, in a file of its own."""

from collections.abc import Iterator

from striate.registry import Registry
from striate.seeing.gallery import Panel
from striate.seeing.parts.attribution import attribution
from striate.seeing.parts.boundary import boundary
from striate.seeing.parts.dreams import dream
from striate.seeing.parts.embedding import embedding, separability
from striate.seeing.parts.filters import filters
from striate.seeing.parts.history import flow, weights
from striate.seeing.parts.landscapes import landscape
from striate.seeing.parts.maps import maps
from striate.seeing.parts.patches import deconvnet, patches

PARTS: Registry[Iterator[Panel]] = Registry(
    "part",
    {
        "attribution": attribution,
        "filters": filters,
        "maps": maps,
        "patches": patches,
        "deconvnet": deconvnet,
        "dream": dream,
        "embedding": embedding,
        "separability": separability,
        "boundary": boundary,
        "landscape": landscape,
        "flow": flow,
        "weights": weights,
    },
)
