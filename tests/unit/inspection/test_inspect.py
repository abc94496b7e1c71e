"""What is planted in a set is found, told on the page, in JSON and in the table."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from striate import api
from striate.cli import inspection as command
from striate.evaluation import openings
from striate.folders import cache_dir
from striate.inspection import feature
from striate.inspection.fold import out_of_fold
from striate.inspection.label_error import suspects
from striate.inspection.outlier import outliers
from striate.inspection.scan import _is_text
from striate.inspection.table import table


@pytest.fixture(autouse=True)
def few_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two colours are told apart with less than photographs are."""
    monkeypatch.setattr(feature, "_FILTERS", 12)


def picture(seed: int, tint: int) -> Image.Image:
    """A random pattern, reddish or bluish by its class."""
    draw = np.random.default_rng(seed)
    pixels = draw.integers(20, 140, (10, 9, 3)).repeat(4, 0).repeat(4, 1)
    pixels[..., 0 if tint == 0 else 2] += 100
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """Two classes of 60 and 20 with one of each trouble."""
    root = tmp_path / "plan<ted"
    for n in range(60):
        split = "test" if n >= 45 else "train"
        for label, name in enumerate(("red", "blue")):
            if label == 1 and n % 3:
                continue
            path = root / split / name / f"{n}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture(100 * label + n, label).save(path)
    train, test = root / "train", root / "test"
    picture(5, 0).resize((28, 30), Image.Resampling.BICUBIC).save(test / "red" / "leak.png")
    picture(9, 0).save(train / "blue" / "conflict.png")
    picture(13, 0).save(train / "red" / "twin.png")
    picture(777, 1).save(train / "red" / "flip.png")
    Image.new("RGB", (36, 40), (90, 90, 91)).save(train / "red" / "blank.png")
    (train / "red" / "page.png").write_text("<html>404: not found</html>\n" * 40)
    (train / "red" / "cut.png").write_bytes((train / "red" / "1.png").read_bytes()[:300])
    return root


def test_inspections_of_two_sets_of_one_name_are_both_kept(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    other = tmp_path / "elsewhere" / planted.name
    shutil.copytree(planted, other)
    (other / "train" / "red" / "blank.png").unlink()
    first, second = (api.inspect(path, labels=False) for path in (planted, other))
    assert first.report != second.report
    counts = [
        json.loads(page.with_name("inspection.json").read_text())["num_images"]
        for page in (first.report, second.report)
    ]
    assert counts[0] == counts[1] + 1
    # Each again: in its own folder.
    assert api.inspect(planted, labels=False).report == first.report
    assert api.inspect(other, labels=False).report == second.report


def names(groups: list[dict], relation: str) -> list[set[str]]:
    return [
        {member["name"] for member in group["members"]}
        for group in groups
        if group["relation"] == relation
    ]


def test_everything_planted_is_found(planted: Path, tmp_path: Path) -> None:
    done = api.inspect(planted, out=tmp_path / "out")
    told = json.loads((tmp_path / "out" / "inspection.json").read_text())
    assert names(told["groups"], "leak") == [{"test/red/leak.png", "train/red/5.png"}]
    assert names(told["groups"], "conflict") == [{"train/blue/conflict.png", "train/red/9.png"}]
    assert {"train/red/13.png", "train/red/twin.png"} in names(told["groups"], "within") + names(
        told["groups"], "straddle"
    )
    assert told["num_leaking"] == 1
    assert told["constant"] == ["train/red/blank.png"]
    broken = {file["name"]: file["text"] for file in told["broken"]}
    assert broken == {"train/red/cut.png": False, "train/red/page.png": True}
    assert sum(map(sum, told["counts_per_class"].values())) == told["num_images"] == 85
    first = [row["name"] for row in told["labels"]["suspects"][:2]]
    assert set(first) == {"train/red/flip.png", "train/blue/conflict.png"}
    assert told["labels"]["suspects"][0]["given"] != told["labels"]["suspects"][0]["likely"]
    assert all(row["confident_learning"] for row in told["labels"]["suspects"][:2])
    assert told["labels"]["expected"] >= 1
    page = done.report.read_text()
    assert page.count("data:image/png") >= 8
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "plan&lt;ted" in page
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table(done.findings))
    assert "leaks" in capture.get()


def test_labels_of_test_images_take_no_part(planted: Path, tmp_path: Path) -> None:
    """The twin: the same folder with all test labels exchanged gives the same findings."""
    api.inspect(planted, out=tmp_path / "one")
    for name in ("red", "blue"):
        (planted / "test" / name).rename(planted / "test" / f"was {name}")
    (planted / "test" / "was red").rename(planted / "test" / "blue")
    (planted / "test" / "was blue").rename(planted / "test" / "red")
    api.inspect(planted, out=tmp_path / "other")
    one, other = (
        json.loads((tmp_path / name / "inspection.json").read_text()) for name in ("one", "other")
    )
    assert one["labels"] == other["labels"]
    assert one["outliers"] == other["outliers"]
    assert names(one["groups"], "conflict") == names(other["groups"], "conflict")
    assert all(
        member["class"] is None
        for group in one["groups"]
        for member in group["members"]
        if member["split"] == "test"
    )


def test_opening_the_test_split_is_written_into_its_ledger(planted: Path, tmp_path: Path) -> None:
    from striate.config import DataConfig
    from striate.data import prepare

    digest = prepare(DataConfig(str(planted), (20, 20), 3)).test.digest
    api.inspect(planted, out=tmp_path / "out")
    assert openings(digest) == []
    done = api.inspect(planted, out=tmp_path / "out", open_test_split=True)
    assert [opening.number for opening in openings(digest)] == [1]
    assert len(done.findings.learned) == len(done.findings.scan.items) - 1  # all but the blank one


def test_the_split_is_the_one_that_a_training_makes(tmp_path: Path) -> None:
    from striate.config import DataConfig
    from striate.data import prepare

    root = tmp_path / "photos"
    for n in range(50):
        path = root / ("red", "blue")[n % 2] / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(n // 2 * 2 + n % 2, n % 2).resize((30 + n % 3, 40)).save(path)
    found = api.inspect(root, out=tmp_path / "out", labels=False).findings
    data = prepare(DataConfig(str(root), (20, 20), 3))
    trained = {
        item.name for item, of in zip(found.scan.items, found.splits, strict=True) if of == "train"
    }
    assert trained == set(data.train.names)
    assert found.suspects is None


def test_the_command_tells_the_table_and_the_page(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command.inspect(str(planted), out=out, labels=False)
    told = capsys.readouterr().out
    assert "leaks" in told
    assert str(out / "inspection.html") in told


def test_suspects_follow_the_paper() -> None:
    """Thresholds, joint and order by hand, for a lopsided set of three classes."""
    p = np.array(
        [[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.1, 0.7, 0.2], [0.05, 0.25, 0.7], [0.3, 0.3, 0.4]]
    )
    labels = np.array([0, 0, 0, 2, 1])
    # Thresholds: class 0 (0.8 + 0.6 + 0.1) / 3 = 0.5, class 1: 0.3, class 2: 0.7.
    found = suspects(p, labels, least=0.0)
    assert found.items[found.confident].tolist() == [2]
    assert found.likely[found.confident].tolist() == [1]
    assert found.num_confident == 1
    assert found.joint.tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 1]]


def test_answers_come_from_classifiers_that_did_not_see_the_image() -> None:
    """With labels of pure chance nothing can be answered, however many features there are."""
    draw = np.random.default_rng(0)
    features = draw.normal(size=(300, 280)).astype(np.float16)
    labels = draw.integers(0, 3, 300)
    found = out_of_fold(features, labels, np.arange(300) % 5, 3)
    assert 0.55 < found.error < 0.78
    # The twin, one fold that holds what it answers: a copy of each image in another fold.
    doubled = out_of_fold(
        np.concatenate([features, features]),
        np.concatenate([labels, labels]),
        np.concatenate([np.arange(300) % 5, (np.arange(300) + 1) % 5]),
        3,
    )
    assert doubled.error < 0.3
    np.testing.assert_allclose(found.probabilities.sum(1), 1, rtol=1e-5)


def test_a_picture_of_something_else_is_an_outlier() -> None:
    """Noise and a chessboard among pictures with fields of one colour."""
    draw = np.random.default_rng(0)
    fields = draw.integers(60, 120, (200, 4, 4, 3)).repeat(8, 1).repeat(8, 2)
    thumbnails = (fields + draw.normal(0, 4, fields.shape)).astype(np.uint8)
    thumbnails[31] = draw.integers(0, 256, (32, 32, 3))
    thumbnails[77] = (np.indices((32, 32)).sum(0) // 2 % 2 * 255)[..., None]
    grey = thumbnails[..., 0].repeat(2, 1).repeat(2, 2)
    cache_dir().mkdir(parents=True, exist_ok=True)
    computed = feature.features(thumbnails, grey, np.arange(200))
    found = outliers(computed.components, np.arange(200) % 3)
    assert {item for item, _ in found} == {31, 77}
    assert min(times for _, times in found) > 1.5


def test_text_is_told_from_damage() -> None:
    assert _is_text("naïve café, plain words\n".encode() * 60)
    assert not _is_text(b"\x89PNG\r\n\x1a\n" + bytes(400))
    assert not _is_text(b"")
