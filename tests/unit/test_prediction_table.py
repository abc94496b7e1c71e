"""Tables of predictions: columns that cannot clash, cells that do nothing, read back by measure."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from striate.api.images import json_text, named_images, relative_paths
from striate.cli.prediction import _print_csv
from striate.data.picture import BrokenImage, open_image
from striate.errors import DataError
from striate.evaluation.classification.external import measure_files
from striate.evaluation.classification.prediction_file import RESERVED, read_table
from striate.tasks import Prediction
from striate.tasks.classification import ClassPrediction
from striate.tasks.classification.prediction import class_columns
from striate.tasks.labels import LabelPrediction
from striate.tasks.segmentation.prediction import MaskPrediction

HARMFUL = ("=cmd|' /C calc'!A0", "+x", "a\x1b[2J", "gpj.\u202eexe", "'=b", "line\nbreak")


def predictions(classes: tuple[str, ...], count: int = 12) -> list[ClassPrediction]:
    """Predictions of items k, of which the class k modulo the classes is the most probable."""
    made = []
    for k in range(count):
        shares = dict.fromkeys(classes, 0.1 / (len(classes) - 1)) | {classes[k % len(classes)]: 0.9}
        ranked = dict(sorted(shares.items(), key=lambda share: -share[1]))
        made.append(ClassPrediction(f"{HARMFUL[k % len(HARMFUL)]}{k}.png", ranked))
    return made


def truth_of(made: list[ClassPrediction], path: Path) -> Path:
    """The truth as another program writes it: names as they are; the last item was wrong."""
    labels = [p.label for p in made[:-1]] + [made[0].label]
    assert labels[-1] != made[-1].label
    with open(path, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "label"])
        writer.writerows(zip((p.name for p in made), labels, strict=True))
    return path


CLASHING = [
    ("id", "image", "label"),
    ("ok", "problem", "split"),
    ("name", "confidence", "other"),
    ("p_id", "id", "cat"),
    ("Label", "PROBLEM", "x"),
    HARMFUL[:5],
    ("p_cat", "cat", "p_p_cat"),
    ("cat", "dog"),
]


@pytest.mark.parametrize("classes", CLASHING, ids=str)
@pytest.mark.parametrize("safe", [True, False])
def test_measure_reads_what_predict_wrote(
    classes: tuple[str, ...], safe: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = predictions(classes)
    columns = ("label", "confidence", *class_columns(classes).values())
    _print_csv(made, columns, safe)
    text = capsys.readouterr().out
    header = next(csv.reader(io.StringIO(text)))
    assert len(set(header)) == len(header) == len(classes) + 4
    (tmp_path / "p.csv").write_text(text, newline="")
    (tmp_path / "p.jsonl").write_text("".join(json_text(p.to_json()) + "\n" for p in made))
    truth = truth_of(made, tmp_path / "t.csv")
    for name in ("p.csv", "p.jsonl"):
        found = measure_files([tmp_path / name], truth)
        assert found.metrics[0].error.count == 1
        assert found.metrics[0].negative_log_likelihood is not None
        assert found.notes == ()


def test_a_reader_by_name_gets_the_prediction(capsys: pytest.CaptureFixture[str]) -> None:
    made = predictions(("id", "image", "label"))
    _print_csv(
        made, ("label", "confidence", *class_columns(("id", "image", "label")).values()), True
    )
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["label"] for row in rows[:3]] == ["id", "image", "label"]
    assert [float(row["p_label"]) for row in rows[:3]] == [0.05, 0.05, 0.9]


def test_classes_that_clash_with_nothing_keep_their_names() -> None:
    assert class_columns(["cat", "dog"]) == {"cat": "cat", "dog": "dog"}
    assert {"label", "id", "name", "problem", "split", "confidence", "abstained"} <= RESERVED


def test_cells_do_nothing_in_a_spreadsheet_or_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = [*predictions(HARMFUL[:5]), ClassPrediction("@x", None, "=why")]
    _print_csv(made, ("label", "confidence", *class_columns(HARMFUL[:5]).values()), True)
    text = capsys.readouterr().out
    assert text.replace("\n", "").isprintable()
    for row in csv.reader(io.StringIO(text)):
        assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@"))]


def test_columns_of_every_task_differ() -> None:
    mask = MaskPrediction("a", np.zeros((2, 3), np.int64), ("height", "name", "sky"))
    shares = {"name": 0.9, "labels": 0.2}
    labels = LabelPrediction("a", {"labels": ["name"], "probabilities": shares})
    numbers = Prediction("a", {"name": 1.5, "problem": -2.0})
    assert mask.cells() == {
        "height": 2, "width": 3, "area_height": 6, "area_name": 0, "area_sky": 0,
    }  # fmt: skip
    assert labels.cells() == {"labels": "name", "p_name": 0.9, "p_labels": 0.2}
    assert numbers.cells() == {"predicted_name": "1.5", "predicted_problem": "-2"}


def test_labels_that_contradict_probabilities_are_noted(tmp_path: Path) -> None:
    truth, mine = tmp_path / "truth.csv", tmp_path / "mine.csv"
    truth.write_text("id,label\na,cat\nb,dog\nc,cat\nd,cow\ne,cow\n")
    rows = ["a,dog,.8,.1,.1", "b,dog,.1,.1,.8", "c,cat,.4,.4,.2", "d,,.1,.8,.1", "e,cow,.4,.4,.2"]
    mine.write_text("\n".join(["id,label,p_cat,p_cow,p_dog", *rows]))
    found = measure_files([mine], truth)
    assert found.notes == (
        "mine.csv: in 1 of 5 rows the label is not the most probable class. The probabilities were "
        "measured; to measure the labels, take the columns of probabilities out.",
    )
    assert found.metrics[0].error.count == 1  # of two equal shares the first counts
    mine.write_text(mine.read_text().replace("a,dog", "a,cat"))
    assert measure_files([mine], truth).notes == ()
    # The truth beside the probabilities is no statement of the system.
    mine.write_text(mine.read_text().replace("id,label", "id,truth").replace("a,cat", "a,dog"))
    assert measure_files([mine], truth).notes == ()


def test_arrays_in_a_file_are_images(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 5, 4, 3), dtype=np.uint8)
    for arrays in ({"images": pictures, "labels": np.arange(3)}, {"x": pictures}, {"a": pictures}):
        np.savez(tmp_path / "set.npz", **arrays)
        named = named_images([str(tmp_path / "set.npz")])
        assert [name for name, _ in named] == [f"{tmp_path}/set.npz/{i}" for i in range(3)]
        np.testing.assert_array_equal([image for _, image in named], pictures)
    assert relative_paths([tmp_path / "set.npz"], named) == [Path("0"), Path("1"), Path("2")]
    np.savez(tmp_path / "other.npz", a=pictures, b=pictures)
    (tmp_path / "damaged.npz").write_bytes(b"PK")
    for name, reason in (("other", "it holds the arrays a, b"), ("damaged", "cannot be read")):
        [(_, problem)] = named_images(tmp_path / f"{name}.npz")
        assert isinstance(problem, BrokenImage)
        assert reason in str(problem)


def test_an_address_is_named_as_it_is() -> None:
    address = "http://example.org/a//cat.png"
    assert named_images([address]) == [(address, address)]
    with pytest.raises(BrokenImage, match="it lies elsewhere; download it first"):
        open_image(address)


def test_an_image_may_come_on_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"picture")))
    assert named_images(["-"]) == [("-", b"picture")]


def test_json_lines_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    value = predictions(HARMFUL[:5])[2].to_json()
    assert json.loads(json_text(value)) == value


@pytest.mark.parametrize(
    "rows",
    [
        'a,"cat\nb,dog"\nc,cat\n',  # two stray quotes: the row of b would vanish
        'a,"cat\nb,dog\nc,cat\n',
        'a,"cat"s\nb,dog\n',
    ],
)
def test_a_stray_quote_is_refused_with_its_line(rows, tmp_path):
    path = tmp_path / "predictions.csv"
    path.write_text(f"\nid,label\n{rows}")
    with pytest.raises(DataError, match=r"predictions\.csv, line 3: .*quote"):
        read_table(path)


def test_names_with_line_breaks_and_with_commas_are_read(tmp_path):
    path = tmp_path / "predictions.csv"
    path.write_text('id,label\n"a\nb",cat\n"c,d",dog\n')
    assert read_table(path).ids == (r"a\nb", "c,d")
