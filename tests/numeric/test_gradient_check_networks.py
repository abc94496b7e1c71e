"""Every registered network passes the gradient check, each parameter tensor by a projection."""

import pytest

from striate.api.gradients import check
from striate.networks import NETWORKS

SHAPES = {
    "alexnet": (3, 67, 67),
    "alexnet_owt": (3, 63, 63),
    "lenet5": (1, 14, 14),
    "linear": (2, 5, 3),
    "mlp": (1, 7, 6),
    "squeezenet": (3, 35, 33),
    "unet": (2, 16, 16),
}
ARGUMENTS = {
    # Every kind of layer of the network, fewer of them: minutes become seconds.
    "densenet": ("network.depth=22", "network.growth=6"),
    "efficientnet": ("network.width=0.25", "network.depth=0.3"),
    "efficientnet_unet": (
        "network.width=2",
        "network.backbone_width=0.25",
        "network.backbone_depth=0.3",
    ),
    "vgg": ("network.depth=11", "network.hidden=32"),
    "segnet": ("network.widths=[4, 6, 8]", "network.counts=[2, 1, 2]"),
    "unet": ("network.width=4", "network.depth=2"),
    "mlp": ("network.hidden=[6, 5]",),
}
QUICK = {"linear", "mlp", "lenet5", "simplenet"}


@pytest.mark.parametrize(
    "network",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS],
)
def test_network(network):
    report = check(
        network,
        shape=SHAPES.get(network, (3, 32, 32)),
        num_classes=4,
        elements=0,
        projections=1,
        assignments=ARGUMENTS.get(network, ()),
    )
    assert report.ok, str(report)
