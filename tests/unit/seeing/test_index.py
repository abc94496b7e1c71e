"""The index of training images: nearest ones as by brute force, a file that is whole or refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn

from striate.digests import DIGESTS
from striate.errors import ConfigError, RunError
from striate.execution import Execution, accelerate
from striate.networks import NETWORKS
from striate.registry import Pick
from striate.seeing import index as module
from striate.seeing.feature import features
from striate.seeing.index import (
    FeatureIndex,
    build_index,
    load_index,
    nearest,
    save_index,
    weights_digest,
)


def network(seed: int = 2) -> nn.Module:
    torch.manual_seed(seed)
    return NETWORKS.build(Pick("resnet", depth=8, width=4), num_classes=3)


def images(num: int = 20) -> Tensor:
    return torch.randn(num, 3, 12, 12, generator=torch.Generator().manual_seed(3))


def built(net: nn.Module, num: int = 20) -> FeatureIndex:
    names = [f"images/{i} \udcff ü.png" for i in range(num)]
    index = build_index(net, images(num).split(8), names, ["cat, dog"] * num)
    return replace(index, held_out=torch.tensor([0.1, 0.25, 0.25]))


@pytest.mark.parametrize("rows_at_once", [65_536, 7])
def test_the_nearest_are_those_of_scikit_learn(
    monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    monkeypatch.setattr(module, "_ROWS", rows_at_once)
    monkeypatch.setattr(module, "_QUERIES", 3)
    draw = np.random.default_rng(1)
    rows, queries = draw.normal(size=(50, 12)), 100 * draw.normal(size=(8, 12))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    index = FeatureIndex(torch.from_numpy(unit).half(), ("",) * 50, ("",) * 50, "")
    distances, where = NearestNeighbors(metric="cosine").fit(rows).kneighbors(queries, 9)
    found = nearest(index, torch.from_numpy(queries).float(), 9)
    np.testing.assert_allclose(1 - found.similarities.numpy(), distances, atol=5e-4)
    assert (found.rows.numpy() == where).mean() > 0.95
    assert nearest(index, torch.from_numpy(queries).float(), 60).rows.shape == (8, 50)


def test_an_image_is_nearest_to_itself_whatever_the_length_of_its_features() -> None:
    net = network()
    index = built(net)
    rows = features(net, images())
    for factor in (1.0, 1e-30, 1e30):
        found = nearest(index, rows * factor, 1)
        assert found.rows[:, 0].tolist() == list(range(20))
        assert float((found.similarities - 1).abs().max()) < 1e-3
    assert nearest(index, torch.zeros(1, 16)).similarities.tolist() == [[0] * 5]


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    net = network()
    index = built(net)
    save_index(tmp_path / "features.safetensors", index)
    found = load_index(tmp_path / "features.safetensors", net)
    assert found.features.dtype == torch.float16
    assert torch.equal(found.features, index.features)
    assert torch.equal(found.held_out, index.held_out)
    assert replace(found, features=index.features, held_out=index.held_out) == index
    size = (tmp_path / "features.safetensors").stat().st_size
    assert 0 <= size - index.num_bytes < 600


def test_an_index_of_other_weights_is_refused(tmp_path: Path) -> None:
    net = network()
    save_index(tmp_path / "a", built(net))
    with pytest.raises(RunError, match="other weights"):
        load_index(tmp_path / "a", network(seed=3))
    with torch.no_grad():
        net.get_buffer("stem.1.running_mean")[1] += 1e-6
    with pytest.raises(RunError, match="other weights"):
        load_index(tmp_path / "a", net)


def test_the_digest_is_that_of_the_numbers_whatever_runs_them() -> None:
    net = network()
    expected = weights_digest(net)
    assert weights_digest(network().train()) == expected
    accelerate(
        net, Execution(torch.device("cpu"), True, "float32", layers=("norm", "pool", "linear"))
    )
    assert weights_digest(net) == expected
    assert weights_digest(network().half()) != expected


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]


@pytest.mark.parametrize("at", [0, 3, 9, 60, 400, -1])
def test_a_byte_that_was_changed_is_noticed(tmp_path: Path, at: int) -> None:
    net, path = network(), tmp_path / "features.safetensors"
    save_index(path, built(net))
    content = path.read_bytes()
    path.write_bytes(flipped(content, at % len(content)))
    with pytest.raises(RunError, match=r"damaged.*Remove it"):
        load_index(path, net)


@pytest.mark.parametrize("damage", ["header", "cut", "empty", "other tensors", "names", "nan"])
def test_a_damaged_file_without_a_digest_is_a_named_error(tmp_path: Path, damage: str) -> None:
    from safetensors.torch import save_file

    net, path = network(), tmp_path / "features.safetensors"
    index = built(net)
    if damage == "names":
        index = replace(index, names=index.names[1:])
    if damage == "nan":
        index = replace(index, held_out=torch.tensor([0.1, float("nan")]))
    save_index(path, index)
    content = path.read_bytes()
    (tmp_path / DIGESTS).unlink()
    if damage == "header":
        path.write_bytes(flipped(content, 12))
    if damage == "cut":
        path.write_bytes(content[:-40])
    if damage == "empty":
        path.write_bytes(b"")
    if damage == "other tensors":
        save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(RunError, match=r"features.safetensors cannot be read.*Remove it"):
        load_index(path, net)


def test_a_file_that_is_not_there_is_a_named_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="Remove it and make it again"):
        load_index(tmp_path / "none", network())


def test_what_does_not_fit_is_said() -> None:
    net = network()
    with pytest.raises(ConfigError, match="20 images came with 19 names and 20 labels"):
        build_index(net, images(), ["a"] * 19, ["b"] * 20)
    with pytest.raises(ConfigError, match="not finite"):
        build_index(net, images() * float("nan"), ["a"] * 20, ["b"] * 20)
    index = built(net)
    with pytest.raises(ConfigError, match="cannot be compared with 16"):
        nearest(index, torch.zeros(2, 15))
    with pytest.raises(ConfigError, match="1 or more"):
        nearest(index, torch.zeros(2, 16), 0)
    with pytest.raises(ConfigError, match="not finite"):
        nearest(index, torch.full((1, 16), float("inf")))
