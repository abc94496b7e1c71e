"""A trial as text and as JSON values: what was tried, how fast it was, what was chosen."""

from typing import Any

from striate.drawing.table import text_table
from striate.execution.chooser import Candidate, Trial
from striate.execution.convolution import DIRECTIONS, Convolution, MeasuredMethods


def trial_text(trial: Trial) -> str:
    """The tables of a trial: whole steps, then convolutions with their methods and GFLOP/s.

    The spread is from the slowest to the fastest step. A method's speed counts the arithmetic of
    the plain definition (two operations a multiply-add), whatever the method saves.
    """
    parts = [_steps(trial)] if trial.candidates else []
    parts += [_convolutions(trial)] if trial.methods else []
    what = trial.execution
    swapped = ", ".join([*what.layers, *(["convolutions"] if what.methods else [])])
    parts.append(
        f"{what.summary()} Kernels: {swapped or 'none'}."
        + (f" The trial took {trial.seconds:.1f} s." if trial.seconds else "")
    )
    return "\n\n".join([*parts, *trial.notes])


def _steps(trial: Trial) -> str:
    rows: list[tuple[str, ...]] = [("tried", "images/s", "spread", "steps", "")]
    for entrant in trial.candidates:
        timing, batch = entrant.timing, trial.measured_batch
        if timing is None:
            rows.append((entrant.title, "", "", "", entrant.problem))
            continue
        speed = f"{batch / timing.median:,.0f}"
        spread = f"{batch / timing.worst:,.0f}–{batch / timing.best:,.0f}"
        chosen = "chosen" if entrant.execution == trial.execution else ""
        rows.append((entrant.title, speed, spread, f"{timing.num_turns}", chosen))
    shape = "×".join(map(str, (trial.measured_batch, *trial.batch_shape[1:])))
    return f"Training steps of {shape}, forward and backward:\n{text_table(rows, '<')}"


def _convolutions(trial: Trial) -> str:
    rows: list[tuple[str, ...]] = [("convolution", "shape", *DIRECTIONS)]
    for layer in trial.layers:
        measured = trial.methods[layer.name]
        pairs = zip(DIRECTIONS, measured.chosen.split(","), strict=True)
        cells = [_cell(layer, measured, direction, method) for direction, method in pairs]
        rows.append((layer.name or "·", _shape(layer), *cells))
    return (
        f"Convolutions, fastest method and GFLOP/s (torch's in brackets):\n{text_table(rows, '<')}"
    )


def _shape(layer: Convolution) -> str:
    kernel = "×".join(map(str, layer.geometry.weight[2:]))
    size = "×".join(map(str, layer.geometry.x[1:]))
    steps = layer.geometry.stride
    stride = "" if set(steps) == {1} else f" /{'×'.join(map(str, steps))}"
    return f"{size} → {layer.geometry.weight[0]}, {kernel}{stride}"


def _cell(layer: Convolution, measured: MeasuredMethods, direction: str, method: str) -> str:
    if direction not in layer.directions:
        return "–"
    speed = _speeds(layer, measured, direction)
    if method not in speed:
        return method
    beside = "" if method == "torch" else f" ({speed['torch']:.0f})"
    return f"{method} {speed[method]:.0f}{beside}"


def _speeds(layer: Convolution, measured: MeasuredMethods, direction: str) -> dict[str, float]:
    """Billions of operations a second by method."""
    count = 2 * layer.multiply_adds * measured.batch / layer.geometry.x[0]
    return {name: count / t.best / 1e9 for name, t in measured.timings.get(direction, {}).items()}


def trial_json(trial: Trial) -> dict[str, Any]:
    """The trial as JSON values; times in seconds."""
    return {
        "batch_shape": list(trial.batch_shape),
        "chosen": trial.execution.to_json(),
        "seconds": round(trial.seconds, 3),
        "measured_batch": trial.measured_batch,
        "tried": [_candidate(one) for one in trial.candidates],
        "convolutions": [
            {
                "name": layer.name,
                "input_shape": list(layer.geometry.x),
                "weight_shape": list(layer.geometry.weight),
                "chosen": trial.methods[layer.name].chosen,
                "gigaflops": {
                    direction: _speeds(layer, trial.methods[layer.name], direction)
                    for direction in layer.directions
                },
            }
            for layer in trial.layers
        ],
        "notes": list(trial.notes),
    }


def _candidate(one: Candidate) -> dict[str, Any]:
    timing = one.timing
    times = None if timing is None else [timing.best, timing.median, timing.worst]
    return {
        "title": one.title,
        "best_median_worst": times,
        "num_turns": 0 if timing is None else timing.num_turns,
        "problem": one.problem,
        "execution": one.execution.to_json(),
    }
