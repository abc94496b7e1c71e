"""Numbers as fields: which columns they come from, cells without one, quantiles, their scale."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data import open_source, prepare
from striate.data.field import Value
from striate.data.field.value import are_values
from striate.errors import DataError


def a_list(folder: Path, header: str, *rows: str, name: str = "list.csv") -> Path:
    """A list whose rows begin with the names of pictures that exist."""
    for n in range(len(rows)):
        Image.fromarray(np.full((9, 9), 4 * n, np.uint8)).save(folder / f"{n}.png")
    lines = [f"{n}.png{row}" for n, row in enumerate(rows)]
    (folder / name).write_text("\n".join([header, *lines]))
    return folder / name


def values_of(path: Path, *columns: str) -> tuple[Value, np.ndarray]:
    source = open_source(str(path))
    field = Value.of(source, "value", columns)
    return field, field.column([field.read(item) for item in source.items])


def test_columns_of_numbers_are_found(tmp_path: Path) -> None:
    path = a_list(tmp_path, "path,Age,name,weight", ",3,ann,1.5", ",4,bob,-2e3", ",5,cid, 7 ")
    field, values = values_of(path)
    assert field.names == ("age", "weight")
    assert values.tolist() == [[3, 1.5], [4, -2000], [5, 7]]
    assert values_of(path, "weight")[1].tolist() == [[1.5], [-2000], [7]]
    named = a_list(tmp_path, "path,value,weight", ",3,1", ",4,2", name="named.csv")
    assert values_of(named)[0].names == ("value",)


def test_missing_cells_are_missing(tmp_path: Path) -> None:
    path = a_list(tmp_path, "path,x,y", ",,1", ",NA,2", ",3,null", ",0,4")
    field, values = values_of(path)
    nan = np.nan
    np.testing.assert_array_equal(values, [[nan, 1], [nan, 2], [3, nan], [0, 4]])
    assert field.summary(values) == "x 0 to 3, 2 missing; y 1 to 4, 1 missing"
    np.testing.assert_array_equal(
        field.decode(json.loads(json.dumps(field.encode(values)))), values
    )


def test_cells_of_json_lists_and_decimal_commas(tmp_path: Path) -> None:
    a_list(tmp_path, "path", "", "", "", "")
    rows = [{"path": "0.png", "value": 3}, {"path": "1.png", "value": None}, {"path": "2.png"}]
    (tmp_path / "list.json").write_text(json.dumps([*rows, {"path": "3.png", "value": 0.5}]))
    found = values_of(tmp_path / "list.json")[1]
    np.testing.assert_array_equal(found, [[3], [np.nan], [np.nan], [0.5]])
    comma = a_list(tmp_path, "path;label", ";3,5", ";4,25", ";-1,0")
    assert values_of(comma)[1].tolist() == [[3.5], [4.25], [-1.0]]


def test_cells_that_are_no_numbers_are_named_by_their_lines(tmp_path: Path) -> None:
    path = a_list(tmp_path, "path,x", ",1", ",12kg", ",3", ",inf", ",4")
    with pytest.raises(DataError) as caught:
        values_of(path)
    told = str(caught.value)
    assert "line 3 (1.png): x is '12kg'." in told
    assert "line 5 (3.png): x is 'inf'." in told
    assert "empty cells" in told


def test_what_has_no_numbers_says_what_would(tmp_path: Path) -> None:
    path = a_list(tmp_path, "path,label", ",cat", ",dog")
    with pytest.raises(DataError, match=r"holds no numbers; its columns are none.*path,value"):
        values_of(path)
    with pytest.raises(DataError, match="has no column 'age'"):
        values_of(path, "age")


def test_labels_are_values_where_they_are_fractions_or_many(tmp_path: Path) -> None:
    assert are_values(map(str, range(51)))
    assert not are_values(map(str, range(50)))
    assert not are_values(["1.0", "2.0"])
    assert not are_values(["1.5", "two"])
    assert not are_values([])
    path = a_list(tmp_path, "path,label", ",1.5", ",", ",2.5", ",1.5")
    source = open_source(str(path))
    assert source.class_names == ()
    np.testing.assert_array_equal(values_of(path)[1], [[1.5], [np.nan], [2.5], [1.5]])
    whole = a_list(tmp_path, "path,label", ",1", ",", ",2", name="whole.csv")
    with pytest.raises(DataError, match="line 3 has no label"):
        _ = open_source(str(whole)).items


def test_folders_named_by_numbers(tmp_path: Path) -> None:
    for split, names in {"train": ["1.5", "2", "10.5"], "test": ["1.5", "7.25"]}.items():
        for name in names:
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("L", (9, 9)).save(tmp_path / split / name / "0.png")
    source = open_source(str(tmp_path))
    assert source.class_names == ("1.5", "2", "7.25", "10.5")
    assert source.notes == ()
    _field, values = values_of(tmp_path)
    assert [item.name.split("/")[1] for item in source.items] == [f"{v:g}" for v in values[:, 0]]


def test_strata_are_quantiles() -> None:
    draw = np.random.default_rng(0)
    values = draw.lognormal(0, 2, (200, 1))
    values[:7] = np.nan
    strata, names = Value(("x",)).strata(values)
    assert names == ()
    counts = np.bincount(strata)
    assert len(counts) == 10
    assert counts.min() >= 16  # the missing ones stand at the median
    order = np.argsort(values[7:, 0])
    assert (np.diff(np.array(strata)[7:][order]) >= 0).all()
    assert Value(("x",)).strata(values[:12])[0] == [0] * 12
    assert set(Value(("x",)).strata(np.ones((100, 1)))[0]) == {0}


def test_splits_are_those_of_the_quantiles(tmp_path: Path, config_of) -> None:
    draw = np.random.default_rng(1)
    path = a_list(tmp_path, "path,x", *(f",{x:.3f}" for x in draw.lognormal(0, 1, 60)))
    for n in range(60):
        Image.fromarray(draw.integers(0, 256, (9, 9), np.uint8)).save(tmp_path / f"{n}.png")
    field = Value.of(open_source(str(path)), "value")
    config = config_of(path, channels=1)
    found = prepare(config, fields={"value": field})
    assert found.describe()["counts"] == {"train": 42, "validation": 6, "test": 12}
    both = np.concatenate([found.train.columns["value"], found.validation.columns["value"]])
    train, edges = found.train.columns["value"], np.quantile(both, [1 / 3, 2 / 3])
    assert np.bincount(np.digitize(train[:, 0], edges)).tolist() == [14, 14, 14]
    folded = prepare(replace(config, folds=4, fold=1), fields={"value": field})
    assert folded.describe()["counts"] == {"train": 36, "validation": 12, "test": 12}
    assert found.describe()["class_names"] == []


def test_statistics_leave_missing_numbers_out() -> None:
    values = np.array([[1.0, np.nan, 3.0], [np.nan, 7.0, 3.0], [5.0, 9.0, 3.0]])
    found = Value(("a", "b", "c")).statistics(values)
    assert found == {"mean": [3.0, 8.0, 3.0], "std": [2.0, 1.0, 1.0], "median": [3.0, 8.0, 3.0]}
    with pytest.raises(DataError, match="No training image has a number in b"):
        Value(("a", "b")).statistics(np.array([[1.0, np.nan]]))
