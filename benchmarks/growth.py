"""How the error falls with the images seen: the table that the planner looks things up in.

    python benchmarks/growth.py CIFAR-10=cifar10.tar --images 32000 64000 128000

trains the planner's network at half to three times its widths for so many images each, every
training with its own whole schedule, and adds a row for each to the table in the package. A row
that is there already (same set, width, images and seed) is not measured again. A tenth of each set
is held out, however large it is, so that rows of one set answer for the same images.
"""

import argparse
import json
import tempfile
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import striate
from striate.data import open_source, survey
from striate.evaluation import Proportion
from striate.settings import merge
from striate.training.planner import decide
from striate.training.planner.images import num_training
from striate.training.planner.optimiser import batch_size

HELD_OUT = {"data": {"validation_fraction": 0.1}}
TABLE = Path(str(resources.files("striate.training.planner").joinpath("growth.json")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="+", metavar="NAME=DATA")
    parser.add_argument("--widths", type=float, nargs="+", default=[0.5, 1.0, 2.0, 3.0])
    parser.add_argument("--images", type=int, nargs="+", default=[32_000, 64_000, 128_000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments = parser.parse_args()
    table = json.loads(TABLE.read_text("utf-8"))
    for word in arguments.sets:
        name, _, data = word.partition("=")
        look = survey(open_source(data))
        config, _ = decide(data, look, HELD_OUT)
        usual = config.network.arguments["widths"]
        about = {
            "num_outputs": len(look.class_names),
            "num_images": num_training(look, HELD_OUT),
            "side": min(config.data.input_size),
        }
        table["sets"][name] = about
        for images in arguments.images:
            for width in arguments.widths:
                widths = [max(16, 8 * round(width * w / 8)) for w in usual]
                batch = batch_size(about["num_images"], width)
                for seed in arguments.seeds:
                    key = {"set": name, "width": width, "images": images, "seed": seed}
                    if any(key.items() <= row.items() for row in table["rows"]):
                        continue
                    error = trained(data, given(widths, batch), round(images / batch), seed)
                    table["rows"].append(key | shown(error))
                    TABLE.write_text(dumped(table), "utf-8")
                    print(table["rows"][-1], flush=True)


def given(widths: list[int], batch: int) -> dict[str, Any]:
    """Settings of a training; the planner gives them the optimiser that goes with them."""
    network = {"name": "airbench", "widths": widths}
    return {"network": network, "training": {"batch_size": batch}, **HELD_OUT}


def shown(error: Proportion) -> dict[str, Any]:
    """What a row of the table says of a training."""
    return {
        "error": round(error.value, 4),
        "num_items": error.n,
        "versions": f"striate {striate.__version__}, torch {metadata.version('torch')}",
    }


def trained(data: str, settings: dict[str, Any], steps: int, seed: int) -> Proportion:
    """The validation error of a training that is thrown away."""
    sparing = {"training": {"validations": 1, "checkpoints": 1}}
    with tempfile.TemporaryDirectory() as folder:
        run = striate.train(
            data,
            steps=steps,
            seed=seed,
            out=Path(folder) / "run",
            leaks="allow",
            settings=merge(settings, sparing),
        )
        return run.validation.error


def dumped(table: dict[str, Any]) -> str:
    """The table as JSON with a line for each row."""
    sets = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in table["sets"].items())
    rows = ",\n".join(f"  {json.dumps(row)}" for row in table["rows"])
    return f'{{"sets": {{\n{sets}\n }},\n "rows": [\n{rows}\n ]}}\n'


if __name__ == "__main__":
    main()
