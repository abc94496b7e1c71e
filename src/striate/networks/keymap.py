"""Maps from a network's tensors to the names in published weights.

A layout is a list of rewritings, applied in order to our state-dict key; what comes out is the
key in the published file. `rename` moves a whole file over, and reports everything that does
not fit: nothing is skipped in silence.
"""

import re
from collections.abc import Callable, Mapping

from jaxtyping import Shaped
from torch import Tensor

from striate.errors import CheckpointError, ConfigError, unknown_name

Rewriting = tuple[str, str | Callable[[re.Match[str]], str]]


def _one_up(template: str) -> Callable[[re.Match[str]], str]:
    """Fill a template with the match's numbers plus one: we count from zero."""
    return lambda match: template.format(*(int(group) + 1 for group in match.groups()))


def _classifier(fc6: int, fc7: int, head: int) -> tuple[Rewriting, ...]:
    """The three full layers as members of torchvision's `classifier`, by their positions."""
    positions = {"fc6": fc6, "fc7": fc7, "head": head}
    return tuple((rf"^{name}\.", f"classifier.{i}.") for name, i in positions.items())


_FIRE = {"2": "3", "3": "4", "4": "5", "5": "7", "6": "8", "7": "9", "8": "10", "9": "12"}
_RESNET: tuple[Rewriting, ...] = (
    (r"^stem\.0\.", "conv1."),
    (r"^stem\.1\.", "bn1."),
    (r"(?<=\.)conv(\d)\.", _one_up("conv{}.")),
    (r"(?<=\.)norm(\d)\.", _one_up("bn{}.")),
    (r"^stages\.(\d)\.", _one_up("layer{}.")),
    (r"\.shortcut\.", ".downsample."),
)
LAYOUTS: dict[str, tuple[Rewriting, ...]] = {
    "torchvision/alexnet": _classifier(1, 4, 6),
    "torchvision/vgg": _classifier(0, 3, 6),
    "torchvision/resnet": (*_RESNET, (r"^head\.", "fc.")),
    "cifar/resnet": (*_RESNET, (r"^head\.", "linear.")),
    "torchvision/densenet": (
        (r"^stem\.0\.", "features.conv0."),
        (r"^stem\.1\.", "features.norm0."),
        (r"\.reduce\.0\.", ".norm1."),
        (r"\.reduce\.2\.", ".conv1."),
        (r"\.grow\.0\.", ".norm2."),
        (r"\.grow\.2\.", ".conv2."),
        (r"^blocks\.(\d+)\.(\d+)\.", _one_up("features.denseblock{}.denselayer{}.")),
        (r"^transitions\.(\d)\.0\.", _one_up("features.transition{}.norm.")),
        (r"^transitions\.(\d)\.2\.", _one_up("features.transition{}.conv.")),
        (r"^norm\.", "features.norm5."),
        (r"^head\.", "classifier."),
    ),
    "torchvision/googlenet": (
        (r"^(auxiliary\d)\.full\.", r"\1.fc1."),
        (r"^(auxiliary\d)\.head\.", r"\1.fc2."),
        (r"^head\.", "fc."),
        (r"^((?:conv|inception|auxiliary).*)\.0\.", r"\1.conv."),
        (r"^((?:conv|inception|auxiliary).*)\.1\.", r"\1.bn."),
        (r"\.one\.", ".branch1."),
        (r"\.reduce3\.", ".branch2.0."),
        (r"\.three\.", ".branch2.1."),
        (r"\.reduce5\.", ".branch3.0."),
        (r"\.five\.", ".branch3.1."),
        (r"\.project\.", ".branch4.1."),
        (r"^auxiliary(\d)\.", _one_up("aux{}.")),
    ),
    "torchvision/squeezenet": (
        (r"^conv1\.", "features.0."),
        (r"^fire(\d)\.", lambda match: f"features.{_FIRE[match[1]]}."),
        (r"\.expand(\d)\.", r".expand\1x\1."),
        (r"^head\.", "classifier.1."),
    ),
    "tensorflow/efficientnet": (
        (r"^stem\.0\.", "_conv_stem."),
        (r"^stem\.1\.", "_bn0."),
        (r"^last\.0\.", "_conv_head."),
        (r"^last\.1\.", "_bn1."),
        (r"^head\.", "_fc."),
        (r"^blocks\.(\d+)\.(expand|depthwise|project)\.0\.", r"_blocks.\1._\2_conv."),
        (r"^blocks\.(\d+)\.expand\.1\.", r"_blocks.\1._bn0."),
        (r"^blocks\.(\d+)\.depthwise\.1\.", r"_blocks.\1._bn1."),
        (r"^blocks\.(\d+)\.project\.1\.", r"_blocks.\1._bn2."),
    ),
    "caffe/squeezenet": (
        (r"^(fire\d)\.squeeze\.", r"\1/squeeze1x1."),
        (r"^(fire\d)\.expand(\d)\.", r"\1/expand\2x\2."),
        (r"^head\.", "conv10."),
    ),
}
"""Layout name -> rewritings from our keys to the published ones."""


def published_key(layout: str, key: str) -> str:
    """The published name of one of our tensors.

    Example:
        >>> published_key("torchvision/resnet", "stages.1.0.conv0.weight")
        'layer2.0.conv1.weight'

    Raises:
        ConfigError: an unknown layout.
    """
    if layout not in LAYOUTS:
        raise ConfigError(unknown_name("layout", layout, LAYOUTS))
    for pattern, replacement in LAYOUTS[layout]:
        key = re.sub(pattern, replacement, key)
    return key


def rename(
    layout: str,
    published: Mapping[str, Shaped[Tensor, "..."]],
    own: Mapping[str, Shaped[Tensor, "..."]],
    *,
    free: tuple[str, ...] = (),
    unused: tuple[str, ...] = (),
) -> dict[str, Tensor]:
    """The published tensors under our keys.

    Args:
        layout: Name in `LAYOUTS`.
        published: Tensors of the file.
        own: State dict of the network that they go into.
        free: Keys of ours that keep the network's own tensor (a head for other classes).
        unused: Prefixes of published keys that the network does not have.

    Raises:
        CheckpointError: every tensor that is missing, left over or of another shape.
    """
    # DenseNets saved before 2018 have norm.1 for norm1: a dot was allowed in a name then
    old = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
    published = {old.sub(r"\1\2", key): tensor for key, tensor in published.items()}
    renamed, problems, taken = {}, [], set()
    for key, tensor in own.items():
        theirs = published_key(layout, key)
        taken.add(theirs)
        if key in free or (theirs not in published and key.endswith("num_batches_tracked")):
            renamed[key] = tensor
        elif theirs not in published:
            problems.append(f"{theirs} is missing (for {key})")
        elif published[theirs].shape != tensor.shape:
            came, needed = tuple(published[theirs].shape), tuple(tensor.shape)
            problems.append(f"{theirs} is {came}, {key} needs {needed}")
        else:
            renamed[key] = published[theirs]
    problems += [
        f"{key} is not in the network"
        for key in published
        if key not in taken and not key.startswith(unused)
    ]
    if problems:
        shown = "\n  ".join(problems[:10])
        more = f"\n  and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise CheckpointError(f"The weights do not fit the layout {layout!r}:\n  {shown}{more}")
    return renamed
