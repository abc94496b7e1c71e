"""Training with Lightning's Trainer: images a second between batches, memory."""

import itertools
import logging
import statistics
import time
import warnings
from importlib.metadata import version

import lightning
import torch
from batches import batches
from networks_torch import build
from protocol import argument, peak_memory, say
from torch import Tensor
from torch.nn import functional


class Module(lightning.LightningModule):
    """A network as Lightning's users wrap it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.network = build(name)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        images, target = batch
        return functional.cross_entropy(self.network(images), target)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        weights = [weight for weight in self.parameters() if weight.requires_grad]
        return torch.optim.SGD(weights, lr=0.001, momentum=0.9, nesterov=True, weight_decay=5e-4)


class Stopwatch(lightning.Callback):
    """Takes the time from batch to batch, and stops after `seconds`."""

    def __init__(self, seconds: float, fewest: int) -> None:
        self.seconds, self.fewest = seconds, fewest
        self.marks: list[float] = []

    def on_train_batch_end(self, trainer, *_) -> None:
        self.marks.append(time.perf_counter())
        measured = len(self.marks) - 3  # two to warm up, and intervals are one fewer than marks
        if measured >= self.fewest and self.marks[-1] - self.marks[2] >= self.seconds:
            trainer.should_stop = True


class Endless(torch.utils.data.IterableDataset):
    """The batches in turn, for ever."""

    def __init__(self, pairs: list) -> None:
        self.pairs = pairs

    def __iter__(self):
        while True:
            for images, target in self.pairs:
                yield torch.from_numpy(images), torch.from_numpy(target)


def main() -> None:
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    asked = argument()
    watch = Stopwatch(asked["seconds"], asked.get("fewest", 3))
    made = batches(asked["case"], channels_last=False, batch=asked.get("batch"))
    module = Module(asked["case"])
    held = peak_memory()
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        callbacks=[watch],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, torch.utils.data.DataLoader(Endless(made), batch_size=None))
    marks = watch.marks[2:]
    times = [end - begin for begin, end in itertools.pairwise(marks)]
    quartiles = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else times
    middle = statistics.median(times)
    say(
        images_per_second=len(made[0][0]) / middle,
        step_seconds=middle,
        step_quartiles=[quartiles[0], quartiles[-1]],
        steps=len(times),
        **peak_memory(),
        bytes_before=held.get("held_bytes"),
        versions={name: version(name) for name in ("lightning", "torch")},
    )


if __name__ == "__main__":
    main()
