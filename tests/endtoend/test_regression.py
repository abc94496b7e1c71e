"""Numbers from images, as a person has them: lists, names of files, folders; every command."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import mean_absolute_error, r2_score
from typer.testing import CliRunner

from striate import load
from striate.cli import app
from striate.errors import StriateError
from striate.evaluation import load_predictions


def call(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if code == 2:
        # The command line itself ends with the words of such an error.
        assert isinstance(result.exception, StriateError), result.output
        return " ".join(str(result.exception).split())
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures whose brightness and slope are known, but for a few; test images are named."""
    folder = tmp_path_factory.mktemp("numbers")
    draw = np.random.default_rng(0)
    (folder / "images").mkdir()
    rows = []
    for n in range(150):
        level, slope = draw.uniform(60, 190), draw.uniform(-50, 50)
        pixels = level + slope * np.linspace(-1, 1, 12)[:, None] + draw.normal(0, 5, (12, 12))
        name = f"images/{n:03d}_{level:.1f}_.png"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name)
        split = "test" if n >= 110 else "val" if n >= 90 else "train"
        known = ["" if n % 10 == 3 else f"{level / 100:.4f}", "" if n % 7 == 2 else f"{slope:.2f}"]
        rows.append([name, *known, split])
    with open(folder / "list.csv", "w", newline="") as stream:
        csv.writer(stream).writerows([("path", "level", "slope", "split"), *rows])
    return folder


TRAIN = ("--steps", 60, "-n", "mlp", "--set", "execution.threads=1", "--set", "optimiser.lr=0.005")


@pytest.fixture(scope="module")
def runs(folder: Path) -> Path:
    said = call("train", folder / "list.csv", *TRAIN, "--out", folder / "a")
    assert "task regression there are numbers in level, slope, and no classes" in said
    call("train", folder / "list.csv", *TRAIN, "--seed", 1, "--out", folder / "b")
    call("evaluate", folder / "a", folder / "b", "--json", folder / "both.json")
    return folder


def test_the_figures_are_those_of_the_stored_rows(runs: Path) -> None:
    rows = load_predictions(runs / "a" / "test.safetensors").rows
    report = json.loads((runs / "a" / "report.json").read_text())
    metrics = report["test"]["measures"]["metrics"]
    with open(runs / "list.csv", newline="") as stream:
        listed = [row for row in csv.DictReader(stream) if row["split"] == "test"]
    for t, name in enumerate(("level", "slope")):
        truth, predicted = rows["value"][:, t], rows["predicted value"][:, t]
        known = ~np.isnan(truth)
        assert known.tolist() == [row[name] != "" for row in listed]
        assert np.allclose(truth[known], [float(row[name]) for row in listed if row[name]])
        mae = metrics[f"{name}: MAE"]
        assert mae["value"] == pytest.approx(mean_absolute_error(truth[known], predicted[known]))
        explained = r2_score(truth[known], predicted[known])
        assert metrics[f"{name}: R²"]["value"] == pytest.approx(explained)
        assert mae["value"] < 0.5 * metrics[f"{name}: MAE of the training median"]["value"]
        assert metrics[f"{name}: gain in MAE over the median"]["low"] > 0
    assert report["data"]["fields"]["value"].count("missing") == 2
    page = (runs / "a" / "report.html").read_text()
    assert "Truth and prediction" in page
    assert page.count("<figcaption>") >= 2


def test_the_scale_of_the_training_split_stays_with_the_run(runs: Path) -> None:
    facts = json.loads((runs / "a" / "run.json").read_text())["facts"]
    with open(runs / "list.csv", newline="") as stream:
        train = [row for row in csv.DictReader(stream) if row["split"] == "train"]
    level = np.array([float(row["level"]) for row in train if row["level"]])
    assert facts["mean"][0] == pytest.approx(level.mean())
    assert facts["std"][0] == pytest.approx(level.std())
    assert facts["median"][0] == pytest.approx(np.median(level))


def test_predictions_are_in_units_of_the_data(runs: Path) -> None:
    rows = load_predictions(runs / "a" / "test.safetensors").rows
    place = runs / "images"
    name = next(place.glob("110_*"))
    prediction = load(runs / "a").predict([name, place / "nothing.png"])
    assert prediction[0].values["slope"] == pytest.approx(rows["predicted value"][0, 1], rel=1e-5)
    assert "nothing" in prediction[1].name
    assert prediction[1].problem is not None
    said = call("predict", runs / "a", name)
    assert f"level {prediction[0].values['level']:.6g} slope" in said
    told = json.loads(call("predict", runs / "a", name, "--json"))
    assert list(told) == ["name", "level", "slope"]
    table = call("predict", runs / "a", name, "--csv")
    assert table.startswith("name,level,slope,problem ")


def test_runs_are_compared(runs: Path) -> None:
    said = call("compare", runs / "a", runs / "b", "--out", runs / "comparison")
    assert "b against a: MAE" in said


@pytest.mark.slow
def test_folds_and_searches_follow_the_mean_absolute_error(folder: Path) -> None:
    short = ("--steps", 10, "-n", "linear", "--set", "execution.threads=1")
    said = call("cv", folder / "list.csv", "--folds", 3, *short, "--out", folder / "cv")
    assert "Cross-validated MAE" in said
    assert "nan" not in said
    search = ("--trials", 2, "--space", "optimiser.lr=1e-3..1e-2", "--out", folder / "search")
    assert "MAE" in call("search", folder / "list.csv", *search, *short)


def test_a_pattern_of_names_gives_the_values(folder: Path) -> None:
    run = folder / "named"
    asked = ("--target-pattern", "*_{brightness}_*.png", "--steps", 5, "-n", "linear")
    said = call("train", folder / "images", *asked, "--out", run)
    assert "there are numbers in brightness" in said
    record = json.loads((run / "run.json").read_text())
    assert record["config"]["data"]["target_pattern"] == "*_{brightness}_*.png"
    assert record["data"]["fields"] == {"value": {"kind": "value", "names": ["brightness"]}}
    assert "opening 1" in call("evaluate", run)
    assert "MAE" in call("ledger", run)


def test_folders_named_by_values_and_a_list_of_labels(folder: Path) -> None:
    draw = np.random.default_rng(1)
    lines = ["path,label"]
    for value in ("1.5", "2.0", "2.5"):
        (folder / "folders" / value).mkdir(parents=True)
        for n in range(9):
            pixels = draw.integers(0, 100 * float(value), (9, 9))
            name = f"folders/{value}/{n}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
            lines.append(f"{name},{float(value) + n / 100}")
    (folder / "labels.csv").write_text("\n".join(lines))
    short = ("--steps", 2, "-n", "linear", "--out")
    said = call("train", folder / "folders", *short, folder / "by-folder")
    assert "regression the labels are 3 different numbers" in said
    said = call("train", folder / "labels.csv", *short, folder / "by-label")
    assert "regression the labels are 27 different numbers" in said
    record = json.loads((folder / "by-label" / "run.json").read_text())
    assert record["data"]["fields"]["value"]["names"] == ["label"]
    said = call("train", folder / "folders", "--task", "classification", *short, folder / "classes")
    assert "Validation error" in said


def test_whole_numbers_are_classes_with_a_note(folder: Path) -> None:
    names = sorted((folder / "images").glob("*.png"))[:60]
    lines = ["path,label", *(f"images/{path.name},{n % 3}" for n, path in enumerate(names))]
    (folder / "whole.csv").write_text("\n".join(lines))
    short = ("--steps", 2, "-n", "linear", "--out")
    said = call("train", folder / "whole.csv", *short, folder / "whole")
    assert "classification the labels are 3 whole numbers; if they are values: --task" in said
    said = call("train", folder / "whole.csv", "--task", "regression", *short, folder / "values")
    assert "Validation MAE" in said


@pytest.mark.parametrize(
    ("rows", "words", "told"),
    [
        (",{n}{kg}", (), "line 2 (0.png): x is '0kg'."),
        (",{inf}", (), "line 2 (0.png): x is 'inf'."),
        (",name {n}", (), "holds no numbers; its columns are x."),
        (",{n}", ("--set", "task.columns=y"), "has no column 'y'; its columns are x."),
        (",3.5", (), "all numbers in 'x' are 3.5: there is nothing to learn"),
        (",", ("--set", "task.columns=x"), "all numbers in 'x' are missing"),
        (",{n}", ("--set", "loss=dice"), "Losses for the task regression: "),
        (",{n}", ("--set", "loss.delta=-1"), "delta=-1 must be above 0"),
        (",{n}", ("-n", "unet"), "the task needs scores for each image"),
        (",{n}", ("-n", "pixels-knn"), "pixels-knn is fitted in one piece: leave out task."),
        (",{n}", ("--set", 'augmentation=[{"name":"mixup"}]'), "these items have no single class"),
        (",{n}", ("--target-pattern", "{x}.png"), "is neither. Leave out --target-pattern"),
        (",{n}", ("--task", "regresion"), "regression"),
    ],
)
def test_wrong_inputs(tmp_path: Path, rows: str, words: tuple[str, ...], told: str) -> None:
    draw = np.random.default_rng(2)
    lines = ["path,x"]
    for n in range(12):
        pixels = draw.integers(0, 256, (9, 9), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{n}.png")
        some = {"kg": "kg", "inf": "inf"} if n < 3 else {"kg": "", "inf": n}
        lines.append(f"{n}.png" + rows.format(n=n, **some))
    (tmp_path / "list.csv").write_text("\n".join(lines))
    task = () if "--task" in words else ("--task", "regression")
    network = () if "-n" in words else ("-n", "linear")
    assert told in call("train", tmp_path / "list.csv", *task, *network, *words, code=2)


def test_two_images_are_too_few(tmp_path: Path) -> None:
    for n in range(2):
        Image.new("L", (9, 9), 90 * n).save(tmp_path / f"{n}.png")
    (tmp_path / "list.csv").write_text("path,value\n0.png,1.5\n1.png,2.5\n")
    said = call("train", tmp_path / "list.csv", "-n", "linear", code=2)
    assert "there must be at least three different images" in said


def test_an_inspection_divides_values_as_a_training_does(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    lines = ["path,label"]
    for n in range(40):
        pixels = draw.integers(0, 256, (9, 9), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{n}.png")
        lines.append(f"{n}.png,{n / 4}")
    path = tmp_path / "list.csv"
    path.write_text("\n".join(lines))
    call("inspect", path, "--out", tmp_path / "inspection")
    found = json.loads((tmp_path / "inspection" / "inspection.json").read_text())
    assert found["class_names"] == []
    call("train", path, "--steps", 1, "-n", "linear", "--out", tmp_path / "run")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    counts = {split: sum(of) for split, of in found["counts_per_class"].items()}
    assert counts == record["data"]["counts"]
