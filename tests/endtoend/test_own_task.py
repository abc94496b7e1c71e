"""A task from outside the package: the page that explains it, run as it stands."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import command_line

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "task.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures of dots, their list, and the page's own my_task.py."""
    draw = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    rows = []
    for number in range(120):
        count = int(draw.integers(0, 6))
        image = np.zeros((16, 16), np.uint8)
        for place in draw.permutation(16)[:count]:
            y, x = 4 * (place // 4) + 1, 4 * (place % 4) + 1
            image[y : y + 2, x : x + 2] = draw.integers(200, 256, (2, 2))
        path = f"images/{number:03d}.png"
        Image.fromarray(image).save(tmp_path / path)
        rows.append((path, count))
    with open(tmp_path / "dots.csv", "w", newline="") as stream:
        csv.writer(stream).writerows([("path", "value"), *rows])
    blocks = re.findall(r"```python title=\"my_task.py\"\n(.*?)```", PAGE.read_text(), re.S)
    (tmp_path / "my_task.py").write_text(blocks[0])
    return tmp_path


def striate(folder: Path, *words: str, code: int = 0) -> str:
    done = command_line.run(*words, cwd=folder)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_a_task_in_one_file_serves_every_command(folder: Path) -> None:
    train = ["train", "dots.csv", "--task", "my_task.py", "--steps", "60", "-n", "mlp"]
    train += ["--set", "execution.threads=1", "--set", "data.leaks=allow"]
    said = striate(folder, *train, "--out", "a")
    assert "squared error" in said
    assert re.search(r"Validation absolute error [\d.]+ \[", said)
    striate(folder, *train, "--out", "b", "--seed", "1")
    own = ("--task-file", "my_task.py")
    both = striate(folder, *own, "evaluate", "a", "b", "--json", "both.json")
    assert "This was opening 1 of this test split." in both
    first, second = json.loads((folder / "both.json").read_text())["runs"]
    assert first["opening"] == second["opening"] == 1
    error = first["measures"]["metrics"]["absolute error"]["value"]
    predicted = striate(folder, *own, "predict", "a", "images", "--csv").splitlines()
    assert predicted[0] == "name,count,problem"
    counts = {row["name"]: float(row["count"]) for row in csv.DictReader(predicted)}
    listed = csv.DictReader((folder / "dots.csv").read_text().splitlines())
    truth = {row["path"]: float(row["value"]) for row in listed}
    assert counts.keys() == truth.keys()
    # The stored rows are the very numbers that predict gives, and their mean is the metric.
    from striate.evaluation import load_predictions

    stored = load_predictions(folder / "a" / "test.safetensors")
    kept = dict(zip(stored.names, stored.rows["count"], strict=True))
    assert all(counts[name] == pytest.approx(value, abs=1e-4) for name, value in kept.items())
    by_hand = np.mean([abs(counts[name] - truth[name]) for name in kept])
    assert error == pytest.approx(by_hand, abs=1e-4)
    assert "b against a: absolute error" in striate(folder, *own, "compare", "a", "b")
    assert "absolute error" in striate(folder, *own, "ledger", "a")
    assert "absolute error" in (folder / "a" / "report.html").read_text()
    assert "finished already" in striate(folder, *own, "resume", "a")


def test_code_never_runs_because_a_run_asks_for_it(folder: Path) -> None:
    train = ["train", "dots.csv", "--task", "my_task.py", "--steps", "2", "-n", "mlp"]
    striate(folder, *train, "--out", "a", "--set", "data.leaks=allow")
    assert "--task-file my_task.py" in striate(folder, "predict", "a", "images/000.png", code=2)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "does not exist"),
        ("1 +", "cannot be run: SyntaxError"),
        ("x = 1", "it defines none"),
        ("from striate.tasks import Classification", "it defines none"),
    ],
)
def test_a_file_without_one_task_is_refused(folder: Path, text: str | None, reason: str) -> None:
    if text is not None:
        (folder / "other.py").write_text(text)
    said = striate(folder, "train", "dots.csv", "--task", "other.py", code=2)
    assert reason in said
    assert "Traceback" not in said


def test_a_list_without_labels_is_no_classifier(folder: Path) -> None:
    asked = ["train", "dots.csv", "--task", "classification"]
    assert "needs a column 'label'" in striate(folder, *asked, code=2)


def test_a_task_claims_the_data_that_are_meant_for_it(folder: Path) -> None:
    text = (
        (folder / "my_task.py")
        .read_text()
        .replace(
            "    def networks(",
            "    @classmethod\n"
            "    def recognises(cls, source):\n"
            "        return 'it has values' if 'value' in source.items[0].columns else None\n\n"
            "    def networks(",
            1,
        )
    )
    (folder / "my_task.py").write_text(text)
    train = ["train", "dots.csv", "--steps", "2", "-n", "mlp", "--set", "data.leaks=allow"]
    output = striate(folder, "--task-file", "my_task.py", *train, "--out", "a")
    assert re.search(r"task +my_task +it has values", output)
    assert (
        json.loads((folder / "a" / "run.json").read_text())["config"]["task"]["name"] == "my_task"
    )


@pytest.mark.slow
def test_an_installed_package_offers_its_tasks(folder: Path) -> None:
    """A distribution on the path with an entry point, as pip leaves one."""
    package = folder / "count_dots-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: count-dots\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[striate.tasks]\ndots = my_task:CountDots\n")
    listed = striate(folder, "list", "tasks")
    assert "The number of dots in each image." in listed
    train = ["train", "dots.csv", "--task", "dots", "--steps", "2", "-n", "mlp", "--out", "a"]
    striate(folder, *train, "--set", "data.leaks=allow")
    assert "name,count,problem" in striate(folder, "predict", "a", "images/000.png", "--csv")
