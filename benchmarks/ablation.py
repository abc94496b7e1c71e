"""What each ingredient of the planner's recipe is worth: the whole recipe against it changed.

    python benchmarks/ablation.py cifar10.tar --images 64000 --seeds 0 1 2
    python benchmarks/ablation.py cifar10.tar --images 160000 --hold-out 0.8 --seeds 0

Every row is trained on as many images, with the same seeds; the validation error is given with
the mean and the standard deviation over seeds. All answer from the image and its mirror image, for
moved views take longer than the training where many images are held out. Holding out four fifths
tells small differences apart, and shows each image as often as a long training does. Smaller images
at first save time, which is not counted here: their row shows what they cost.
"""

import argparse
import json
import statistics
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

from growth import trained

from striate.config import RunConfig
from striate.data import open_source, survey
from striate.networks.airbench import Airbench
from striate.settings import merge
from striate.training.planner import decide

_FLIP = {"name": "flip", "alternating": True}
_SHIFT = {"name": "shift"}


def _also(name: str, **arguments: Any) -> dict[str, Any]:
    return {"augmentation": [_FLIP, _SHIFT, {"name": name, **arguments}]}


_RANDOM = "first filters at random, not whitening"

WITHOUT: dict[str, dict[str, Any]] = {
    "the whole recipe": {},
    "momentum in place of Muon": {
        "optimiser": {"name": "sgd", "lr": 0.3, "weight_decay": 5e-4},
    },
    "AdamW in place of Muon": {"optimiser": {"name": "adamw", "lr": 3e-3, "weight_decay": 0.05}},
    "no label smoothing": {"loss": {"name": "softmax_cross_entropy", "label_smoothing": 0.0}},
    "twice the label smoothing": {
        "loss": {"name": "softmax_cross_entropy", "label_smoothing": 0.2}
    },
    "peak of the rate at 10 %": {"schedule": {"name": "one_cycle", "peak": 0.1}},
    "peak of the rate at 5 %": {"schedule": {"name": "one_cycle", "peak": 0.05}},
    "peak of the rate at 2 %": {"schedule": {"name": "one_cycle", "peak": 0.02}},
    "constant rate in place of one-cycle": {"schedule": {"name": "constant"}},
    "cosine in place of one-cycle": {"schedule": {"name": "cosine"}},
    "no average of weights": {"training": {"ema_half_life": 1e-6}},
    "a third of the decay": {"optimiser": {"weight_decay": 0.12}},
    "three times the decay": {"optimiser": {"weight_decay": 1.0}},
    "half the rate": {"optimiser": {"lr": 0.01}},
    "twice the rate": {"optimiser": {"lr": 0.04}},
    "no flip": {"augmentation": [_SHIFT]},
    "flip by chance": {"augmentation": [{"name": "flip"}, _SHIFT]},
    "no shift": {"augmentation": [_FLIP]},
    "shift twice as far": {"augmentation": [_FLIP, {"name": "shift", "fraction": 0.125}]},
    "erase, too": _also("erase", fraction=0.25, probability=1.0),
    "colour, too": _also("colour"),
    "mixup, too": _also("mixup"),
    "cutmix, too": _also("cutmix"),
    "one view": {"prediction": {"mirrored": False, "shift": 0}},
    "moved views, too": {"prediction": {"mirrored": True, "shift": 1}},
    _RANDOM: {},
    "images smaller at first": {"training": {"small_share": 0.4, "small_scale": 0.6}},
    "ResNet-20 in place of airbench": {"network": {"name": "resnet", "depth": 20}},
}


def _whole(changed: dict[str, Any], plan: RunConfig) -> dict[str, Any]:
    """Settings in which a change of the planned optimiser keeps its other arguments."""
    optimiser = changed.get("optimiser")
    if optimiser is None or "name" in optimiser:
        return changed
    return {**changed, "optimiser": {**plan.optimiser.to_json(), **optimiser}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--images", type=int, default=64_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", nargs="*", default=list(WITHOUT))
    parser.add_argument("--hold-out", type=float, default=0.1, help="share for validation")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    held = {
        "data": {"validation_fraction": arguments.hold_out},
        "prediction": {"mirrored": True, "shift": 0},
    }
    plan, _ = decide(arguments.data, survey(open_source(arguments.data)), held)
    steps = round(arguments.images / plan.training.batch_size)
    rows: dict[str, list[float]] = {name: [] for name in arguments.only}
    num_items = 0
    for seed in arguments.seeds:  # seed by seed: a slow hour meets all rows alike
        for name in arguments.only:
            settings = merge(held, _whole(WITHOUT[name], plan))
            random = mock.patch.object(Airbench, "initialise_from")  # keeps what it began with
            with random if name == _RANDOM else nullcontext():
                error = trained(arguments.data, settings, steps, seed)
            rows[name].append(100 * error.value)
            num_items = error.n
            print(f"{name}: {100 * error.value:.2f} %", flush=True)
    print(f"\n| recipe | validation error, % | seeds |\n|---|---|---|  (n = {num_items} images)")
    for name, errors in rows.items():
        spread = f" ± {statistics.stdev(errors):.2f}" if len(errors) > 1 else ""
        print(f"| {name} | {statistics.mean(errors):.2f}{spread} | {len(errors)} |")
    if arguments.json:
        found = {"data": arguments.data, "images": arguments.images, "n": num_items}
        found |= {"held_out": arguments.hold_out, "rows": rows}
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
