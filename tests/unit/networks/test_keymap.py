"""Key maps against full lists of torchvision's state dicts, and their failures."""

from pathlib import Path

import pytest
import torch

from striate.errors import CheckpointError, ConfigError
from striate.networks import NETWORKS
from striate.networks.keymap import LAYOUTS, published_key, rename
from striate.networks.weight import PRETRAINED
from striate.registry import Pick

FOLDER = Path(__file__).with_name("torchvision_keys")
# our name -> the list's name, where they differ
LISTS = {"alexnet_owt": "alexnet", "squeezenet": "squeezenet1_0"}
TORCHVISION = [
    name for name, weights in PRETRAINED.items() if weights.layout.startswith("torchvision")
]


def key_list(name: str) -> dict[str, tuple[int, ...]]:
    """Key -> shape, as torchvision's module naming gives them."""
    entries = {}
    for line in (FOLDER / f"{LISTS.get(name, name)}.txt").read_text().splitlines():
        key, _, shape = line.partition(" ")
        entries[key] = tuple(int(length) for length in shape.split("x")) if shape else ()
    return entries


@pytest.mark.parametrize("name", TORCHVISION)
def test_every_tensor_of_torchvision_has_its_place(name: str) -> None:
    weights = PRETRAINED[name]
    pick = weights.network.replace(auxiliary=True) if name == "googlenet" else weights.network
    with torch.device("meta"):
        network = NETWORKS.build(pick, num_classes=1000)
    shapes = {
        published_key(weights.layout, key): tuple(tensor.shape)
        for key, tensor in network.state_dict().items()
    }
    assert len(shapes) == len(network.state_dict())
    assert shapes == key_list(name)


def test_all_lists_are_used() -> None:
    listed = {path.stem for path in FOLDER.glob("*.txt")}
    assert listed == {LISTS.get(name, name) for name in TORCHVISION}


def test_a_broken_map_is_noticed() -> None:
    with torch.device("meta"):
        network = NETWORKS.build(Pick("resnet", depth=18), num_classes=1000)
    keys = {published_key("cifar/resnet", key) for key in network.state_dict()}
    assert keys != set(key_list("resnet18"))


def test_densenets_old_names_are_read() -> None:
    network = NETWORKS.build(Pick("densenet", depth=121), num_classes=3)
    own = network.state_dict()
    published = {
        published_key("torchvision/densenet", key): torch.randn(tensor.shape)
        for key, tensor in own.items()
        if not key.endswith("num_batches_tracked")
    }
    old = {
        key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2.")
        if "denselayer" in key
        else key: tensor
        for key, tensor in published.items()
    }
    assert any(".norm.1." in key for key in old)
    renamed = rename("torchvision/densenet", old, own)
    key = "blocks.1.3.reduce.0.weight"
    assert torch.equal(renamed[key], published[published_key("torchvision/densenet", key)])


def test_everything_that_does_not_fit_is_reported_together() -> None:
    own = {"conv1.weight": torch.zeros(2, 3), "head.weight": torch.zeros(5, 2)}
    published = {"conv10.weight": torch.zeros(7, 2), "surplus": torch.zeros(1)}
    with pytest.raises(CheckpointError) as caught:
        rename("caffe/squeezenet", published, own)
    message = str(caught.value)
    assert "conv1.weight is missing" in message
    assert "conv10.weight is (7, 2), head.weight needs (5, 2)" in message
    assert "surplus is not in the network" in message


def test_unused_and_free_tensors_are_let_through() -> None:
    own = {"conv1.weight": torch.zeros(2, 3), "head.weight": torch.ones(5, 2)}
    published = {
        "conv1.weight": torch.randn(2, 3),
        "conv10.weight": torch.zeros(7, 2),
        "aux1.x": torch.zeros(1),
    }
    renamed = rename("caffe/squeezenet", published, own, free=("head.weight",), unused=("aux1.",))
    assert torch.equal(renamed["head.weight"], own["head.weight"])
    assert torch.equal(renamed["conv1.weight"], published["conv1.weight"])


def test_an_unknown_layout_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'torchvision/resnet'"):
        published_key("torchvision/resnt", "head.weight")


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_every_layout_is_used_by_a_published_file(layout: str) -> None:
    assert any(weights.layout == layout for weights in PRETRAINED.values())
