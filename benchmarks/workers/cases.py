"""The networks that are measured: name -> input, batch, classes and arithmetic."""

from dataclasses import dataclass

__all__ = ["CASES", "LITE0", "Case"]


@dataclass(frozen=True)
class Case:
    """A network with the batch that it is trained on."""

    title: str
    channels: int
    side: int
    """Height and width of the input, pixels."""
    batch: int
    classes: int
    multiply_adds: int
    """Of one image forward; convolutions and linear layers."""
    first_multiply_adds: int
    """Of the first layer with weights, whose input needs no gradient."""
    frozen_multiply_adds: int = 0
    """Of layers whose weights are not trained."""
    mostly_3x3: bool = False
    """Counts for the geometric means: its arithmetic is mostly 3×3 convolutions."""
    per_pixel: bool = False
    """Answers each pixel."""

    @property
    def step_flops(self) -> int:
        """Operations of a training step per image: a multiply-add is two; forward, by the
        weights, and by the inputs where something before them learns."""
        backward_inputs = self.multiply_adds - self.first_multiply_adds
        backward_weights = self.multiply_adds - self.frozen_multiply_adds
        return 2 * (self.multiply_adds + backward_inputs + backward_weights)


LITE0 = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192), (1, 3, 1, 6, 320),
)  # fmt: skip
"""Stages of EfficientNet-Lite0 (Tan and Le 2019): blocks, kernel, stride of the first, expansion,
width."""

CASES = {
    "lenet": Case("LeNet-5", 1, 28, 128, 10, 416_520, 117_600),
    "vgg": Case("VGG-like 32-64-128", 3, 32, 128, 10, 38_653_952, 884_736, mostly_3x3=True),
    "resnet20": Case("ResNet-20", 3, 32, 128, 10, 40_551_040, 442_368, mostly_3x3=True),
    "resnet18": Case("ResNet-18, 32×32", 3, 32, 128, 10, 555_422_720, 1_769_472, mostly_3x3=True),
    "wide": Case("wide 64-256-256", 3, 32, 512, 10, 118_147_360, 276_768, 276_768, mostly_3x3=True),
    "alexnet": Case("AlexNet, one tower", 3, 224, 32, 1000, 714_188_480, 70_276_800),
    "lite0-128": Case("EfficientNet-Lite0, 128×128", 3, 128, 64, 1000, 126_637_568, 3_538_944),
    "lite0-224": Case("EfficientNet-Lite0, 224×224", 3, 224, 32, 1000, 385_187_552, 10_838_016),
    "unet": Case(
        "U-Net 32, 128×128",
        3,
        128,
        8,
        2,
        3_018_326_016,
        14_155_776,
        mostly_3x3=True,
        per_pixel=True,
    ),
}
