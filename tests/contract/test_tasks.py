"""The contract of a task, for those that are registered and for one of every kind of field."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from striate.data.augment import Augmenter
from striate.data.batch import Batch
from striate.evaluation.comparison import compare
from striate.evaluation.metric import estimate
from striate.evaluation.stored import Predictions, load_predictions, save_predictions
from striate.registry import Pick
from striate.run_folder import RunFolder
from striate.tasks import TASKS
from striate.training import session
from striate.training.assemble import Parts, assemble
from striate.training.budget import Clock
from striate.training.inference import evaluate, infer
from striate.training.step import _accumulate
from toy_tasks import Example, config, dataset, examples, stop_at

EXAMPLES = examples()


def test_every_registered_task_has_an_example() -> None:
    assert set(TASKS) <= {example.task.__name__.lower() for example in EXAMPLES.values()}


@pytest.fixture(params=EXAMPLES)
def name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an example, whose task is registered under it."""
    monkeypatch.setitem(TASKS._entries, request.param, EXAMPLES[request.param].task)
    return str(request.param)


def train(
    name: str, folder: Path, *, until: int | None = None, resumed: bool = False, **training: object
) -> tuple[Parts, session.Result]:
    chosen = config(EXAMPLES[name], name, **training)
    data = dataset(EXAMPLES[name])
    parts = assemble(chosen, data)
    folder.mkdir(parents=True, exist_ok=True)
    result = session.run(
        chosen,
        data,
        parts,
        RunFolder(folder),
        clock=Clock(),
        finish=0.0,
        pruner=None if until is None else stop_at(until),
        resumed=resumed,
    )
    return parts, result


def test_eight_items_are_learned(name: str, tmp_path: Path) -> None:
    example = EXAMPLES[name]
    _, result = train(name, tmp_path)
    assert result.scores is not None
    assert len(result.scores.rows) == 8
    if example.learned is not None:
        assert example.learned(result.scores.headline), result.scores.values


def test_a_stopped_training_ends_on_the_same_bits(name: str, tmp_path: Path) -> None:
    whole, _ = train(name, tmp_path / "whole", steps=20)
    _, stopped = train(name, tmp_path / "stopped", steps=20, until=7)
    assert stopped.scores is None
    resumed, result = train(name, tmp_path / "stopped", steps=20, resumed=True)
    assert result.scores is not None
    mine, theirs = resumed.whole.state_dict(), whole.whole.state_dict()
    assert mine.keys() == theirs.keys()
    for key in mine:
        assert torch.equal(mine[key], theirs[key]), key


def test_micro_batches_add_up_to_the_batch(name: str) -> None:
    gradients = []
    for size in (None, 2):
        chosen = config(EXAMPLES[name], name, micro_batch=size)
        parts = assemble(chosen, dataset(EXAMPLES[name]))
        parts.networks.double()
        batch = parts.loader.batch(0)
        batch = batch.with_field("image", batch["image"].double())
        if name == "two phases":  # its noise is drawn anew for each part
            parts.networks["generator"].forward = lambda noise: torch.ones(  # type: ignore[method-assign]
                len(noise), 1, 12, 12, dtype=torch.float64
            )
        phase = parts.task.phases[0]
        _accumulate(parts, batch, phase, 0, chosen.training)
        found = [p.grad for p in parts.learning(phase).parameters() if p.grad is not None]
        assert found
        gradients.append(found)
    for whole, added in zip(*gradients, strict=True):
        torch.testing.assert_close(added, whole, rtol=1e-10, atol=1e-12)


def test_parts_that_count_alike_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Void pixels lie unevenly: without their weight the sum is another gradient."""
    example = EXAMPLES["mask"]
    masks = example.columns["mask"].copy()
    masks[0, 2:] = 255
    uneven = Example(**{**vars(example), "columns": {"mask": masks}})
    monkeypatch.setitem(TASKS._entries, "mask", example.task)
    gradients = []
    for size, broken in ((None, False), (2, False), (2, True)):
        chosen = config(uneven, "mask", micro_batch=size)
        parts = assemble(chosen, dataset(uneven))
        if broken:
            monkeypatch.setattr(parts.task, "weight", lambda batch: float(len(batch)))
        _accumulate(parts, parts.loader.batch(0), "network", 0, chosen.training)
        gradients.append(torch.cat([p.grad.flatten() for p in parts.whole.parameters()]))
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-6)
    assert not torch.allclose(gradients[2], gradients[0], rtol=1e-2, atol=1e-4)


def test_a_prediction_is_the_evaluated_one(name: str) -> None:
    data = dataset(EXAMPLES[name])
    parts = assemble(config(EXAMPLES[name], name), data)
    split = data.validation
    rows = evaluate(parts.model, split, parts.data).rows
    outputs = infer(parts.model, split.images)
    fields = {name: field.collate(split.columns[name]) for name, field in split.fields.items()}
    meter = parts.task.meter(parts.data)
    predictions = {key: torch.from_numpy(value) for key, value in outputs.items()}
    meter.update(predictions, Batch(fields, torch.arange(8)))
    index = np.array([5, 2])
    some = evaluate(parts.model, split, parts.data, index=index).rows
    for name, column in meter.rows().columns.items():
        for mine, theirs in zip(rows[name], column, strict=True):
            np.testing.assert_array_equal(mine, theirs)
        for item, again in zip(index, some[name], strict=True):
            np.testing.assert_allclose(again, column[item], rtol=1e-5, atol=1e-6)
    for key, value in outputs.items():
        alone = infer(parts.model, split.images[3:4])[key]
        np.testing.assert_allclose(alone, value[3:4], rtol=1e-5, atol=1e-6)


def test_rows_resample_and_compare(name: str, tmp_path: Path) -> None:
    data = dataset(EXAMPLES[name])
    parts = assemble(config(EXAMPLES[name], name), data)
    rows = evaluate(parts.model, data.validation, parts.data).rows
    metric = parts.task.meter(parts.data).metrics[0]
    twice = rows.take(np.array([0, 1, 2, 3, 4, 5, 6, 7] * 2))
    assert len(twice) == 16
    assert metric.value(twice) == pytest.approx(metric.value(rows), nan_ok=True)
    interval = estimate(metric, rows, resamples=50)
    assert interval.low <= interval.value <= interval.high
    pair = compare(metric, {"a": rows, "b": rows}, resamples=50).pairs[0]
    assert pair.difference.value == 0
    assert pair.p == pytest.approx(1.0)
    figures = parts.task.figures(rows, parts.data)
    assert parts.task.figures_from_json(figures.to_json()).to_json() == figures.to_json()
    save_predictions(tmp_path / "rows.safetensors", Predictions(rows, ("d",) * 8, ("n",) * 8))
    back = load_predictions(tmp_path / "rows.safetensors").rows
    assert metric.value(back) == metric.value(rows)


def test_mirrored_views_are_brought_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that copies its image into its scores gives the same mask by both views."""
    monkeypatch.setitem(TASKS._entries, "mask", EXAMPLES["mask"].task)
    example = EXAMPLES["mask"]
    chosen = config(example, "mask")
    plain = assemble(chosen, dataset(example))
    plain.networks["network"].forward = lambda x: torch.cat([0 * x, x], dim=1)  # type: ignore[method-assign]
    both = config(example, "mask").to_json() | {"prediction": {"mirrored": True, "shift": 0}}
    views = assemble(type(chosen).from_json(both), dataset(example))
    views.networks["network"].forward = plain.networks["network"].forward
    images = dataset(example).validation.images
    assert np.array_equal(infer(plain.model, images)["mask"], infer(views.model, images)["mask"])


def test_warps_move_the_fields_with_the_image() -> None:
    example = EXAMPLES["mask"]
    moved = [Pick("flip", probability=1.0), Pick("shift", fraction=0.2)]
    augment = Augmenter(moved, example.fields, 0)
    mask = torch.from_numpy(np.asarray(example.columns["mask"], dtype=np.int64))
    image = mask.unsqueeze(1).float()
    batch = augment({"image": image, "mask": mask}, 0)
    kept = batch["mask"] != 255
    assert kept.any()
    assert torch.equal(batch["image"][:, 0][kept].long(), batch["mask"][kept])
    assert not torch.equal(batch["mask"], mask)


KILLED = """
import os, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
import toy_tasks
from striate.tasks import TASKS
from striate.run_folder import RunFolder
from striate.training import session
from striate.training.assemble import assemble
from striate.training.budget import Clock

name, kill = "two phases", int(sys.argv[2])
example = toy_tasks.examples()[name]
calls = 0

class Killed(toy_tasks.Adversarial):
    def losses(self, networks, batch, phase):
        global calls
        if phase == "generator":
            calls += 1
            if calls == kill:
                os.kill(os.getpid(), 9)
        return super().losses(networks, batch, phase)

TASKS._entries[name] = Killed
chosen, data = toy_tasks.config(example, name, steps=20), toy_tasks.dataset(example)
parts = assemble(chosen, data)
session.run(chosen, data, parts, RunFolder(Path(sys.argv[1])), clock=Clock(), finish=0.0,
            resumed=kill == 0)
"""


def test_a_run_killed_between_two_phases_ends_on_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "two phases"
    monkeypatch.setitem(TASKS._entries, name, EXAMPLES[name].task)
    script = tmp_path / "killed.py"
    script.write_text(KILLED.format(tests=str(Path(__file__).parents[1])))
    folder = tmp_path / "run"
    folder.mkdir()
    killed = subprocess.run(
        [sys.executable, str(script), str(folder), "11"], env=os.environ, check=False
    )
    assert killed.returncode == -9
    resumed, _ = train(name, folder, steps=20, resumed=True)
    whole, _ = train(name, tmp_path / "whole", steps=20)
    for key, value in whole.whole.state_dict().items():
        assert torch.equal(resumed.whole.state_dict()[key], value), key
