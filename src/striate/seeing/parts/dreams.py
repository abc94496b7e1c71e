"""Images made for a class or a unit, and a dream: what a network would like to see."""

from collections.abc import Callable, Iterator

import numpy as np
from torch import Tensor

from striate.seeing.dream import dream as enhance
from striate.seeing.dream import maximise
from striate.seeing.gallery import Panel, Picture
from striate.seeing.subject import Subject
from striate.seeing.target import Target

__all__ = ["dream"]

_CLASSES = 3
_STEPS = 128
"""Steps of gradient ascent for an image from noise."""


def dream(subject: Subject) -> Iterator[Panel]:
    """Images adjusted until they excite a class, a unit or a layer, the weights being fixed."""
    shape = (subject.inputs.shape[1], *subject.size)
    low, high = subject.limits
    targets = _targets(subject)
    pictures: list[Picture] = []
    arrays: dict[str, np.ndarray] = {}
    for name, target in targets.items():
        found = maximise(
            subject.network, target, shape, low=low, high=high, steps=_STEPS, seed=subject.seed,
            progress=_progress(subject, f"seeing {name}"),
        )  # fmt: skip
        words = f"{name}: from {found.before:.3g} to {found.after:.3g}"
        if found.after <= found.before:
            words = f"{name}: nothing in the image raises it"
        pictures.append(Picture(subject.picture_of(found.image), words))
        arrays[name] = found.image.cpu().numpy()
    yield Panel(
        "dream-classes",
        "What the network would like to see",
        f"Images made from noise by {_STEPS} steps of gradient ascent on the pixels: nothing was "
        "taken from photographs. Captions say how far the score rose. What they have in common "
        "with a photograph of that kind is what the network knows of it.",
        pictures=pictures,
        arrays={f"image_{i}": np.asarray(image) for i, image in enumerate(arrays.values())},
    )
    if subject.layer is None:
        return
    found = enhance(
        subject.network, subject.inputs[0], subject.layer, low=low, high=high, seed=subject.seed,
        progress=_progress(subject, "dreaming"),
    )  # fmt: skip
    yield Panel(
        "dream-image",
        "A dream",
        f"The first image, adjusted so that the layer {subject.layer} responds more strongly to "
        f"whatever it sees in it (mean square from {found.before:.3g} to {found.after:.3g}).",
        pictures=[
            Picture(subject.pictures[0], "the image"),
            Picture(subject.picture_of(found.image), "enhanced"),
        ],
        arrays={"image": found.image.cpu().numpy()},
    )


def _progress(subject: Subject, stage: str) -> Callable[[int, int, float], None]:
    return lambda step, of, _: subject.progress(stage, step, of)


def _targets(subject: Subject) -> dict[str, Target]:
    """The unit or the classes that are explained, by name; three at most."""
    if not isinstance(subject.target, Tensor):
        return {subject.target_names[0]: subject.target}
    pairs = zip(subject.target_names, subject.target.tolist(), strict=True)
    return dict(list(dict(pairs).items())[:_CLASSES])
