"""Leaks stop a training, are dropped or allowed; what belongs together is never divided."""

import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.config import DataConfig
from striate.data import prepare, refuse_leaks
from striate.data.duplicate_check import check_duplicates, named_groups
from striate.data.source import Item
from striate.errors import DataError, LeakError

ConfigOf = Callable[..., DataConfig]


def picture(seed: int) -> Image.Image:
    """Coarse fields of colour with finer ones in them: alike only to its copies."""
    draw = np.random.default_rng(seed)
    fields = draw.integers(30, 220, (6, 6, 3)).repeat(8, 0).repeat(8, 1)
    finer = draw.integers(-30, 30, (24, 24, 3)).repeat(2, 0).repeat(2, 1)
    return Image.fromarray((fields + finer).clip(0, 255).astype(np.uint8))


def write(root: Path, name: str, image: Image.Image) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def write_split(root: Path, split: str, numbers: Iterable[int], digits: int = 0) -> None:
    """Write a picture for each number, by turns into the classes a and b of a split."""
    for n in numbers:
        write(root, f"{split}/{'ab'[n % 2]}/{n:0{digits}}.png", picture(n))


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    """Twelve pictures to train on, of which two are in the test split: one equal, one smaller."""
    root = tmp_path / "leaking"
    write_split(root, "train", range(12))
    write_split(root, "test", range(20, 26))
    write(root, "test/a/copy.png", picture(4))
    write(root, "test/b/small.png", picture(7).resize((31, 33), Image.Resampling.BICUBIC))
    return root


def test_equal_images_come_first_whatever_their_names(tmp_path: Path, config_of: ConfigOf) -> None:
    root = tmp_path / "leaking"
    for n in range(6):
        write(root, f"train/a/{n}.png", picture(n))
        write(root, f"train/b/{10 + n}.png", picture(10 + n))
    write(root, "test/a/1.png", picture(4).resize((31, 33), Image.Resampling.BICUBIC))
    write(root, "test/b/2.png", picture(12))
    write(root, "test/b/3.png", picture(11))
    leaks = prepare(config_of(root)).leaks
    assert [(leak.kind, leak.test) for leak in leaks] == [
        ("exact", "test/b/2.png"),
        ("exact", "test/b/3.png"),
        ("near", "test/a/1.png"),
    ]


def test_leaks_stop_with_counts_examples_and_both_ways_on(
    leaking: Path, config_of: ConfigOf
) -> None:
    config = config_of(leaking)
    data = prepare(config)
    assert {(leak.test, leak.beside, leak.kind) for leak in data.leaks} == {
        ("test/a/copy.png", "train/a/4.png", "exact"),
        ("test/b/small.png", "train/b/7.png", "near"),
    }
    with pytest.raises(LeakError, match=r"2 of the 8 test images") as caught:
        refuse_leaks(config, data)
    for told in ("test/b/small.png  =  train/b/7.png", "--allow-leaks", "--drop-leaks"):
        assert told in str(caught.value)


@pytest.mark.parametrize("strangers", [(), (0,), (5, 6), (17,)])
def test_leaks_do_not_depend_on_the_size_that_a_network_asks_for(
    tmp_path: Path,
    config_of: ConfigOf,
    strangers: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At 32 × 32 the staged pixels are the thumbnails, until a picture of another size comes."""
    files = []

    def spy(items, digests, sides, thumbnails, *rest, **options):
        files.append(Path(thumbnails.filename).name)
        return check_duplicates(items, digests, sides, thumbnails, *rest, **options)

    monkeypatch.setattr("striate.data.build.check_duplicates", spy)
    archive = tmp_path / "set.tar"
    with tarfile.open(archive, "w") as tar:
        for n in range(18):
            split, seed = ("test", n - 12) if n >= 15 else ("train", n)
            image = picture(seed).resize((33, 32) if n in strangers else (32, 32))
            write(tmp_path, f"{n}.png", image if split == "train" else image.quantize(200))
            tar.add(tmp_path / f"{n}.png", f"{split}/{'ab'[n % 2]}/{n:02}.png")
            if n == 8:
                (tmp_path / "broken.png").write_bytes(b"no picture")
                tar.add(tmp_path / "broken.png", "train/a/broken.png")
    found = {
        side: {(leak.test, leak.beside) for leak in prepare(config).leaks}
        for side in (32, 24)
        for config in [config_of(archive, input_size=(side, side), leaks="allow")]
    }
    assert files == ["thumbnails.u8" if strangers else "staging.u8", "thumbnails.u8"]
    assert found[32] == found[24]
    assert found[32] == {
        (f"test/{'ab'[n % 2]}/{n}.png", f"train/{'ab'[n % 2]}/{n - 12:02}.png")
        for n in (15, 16, 17)
    }


def test_the_number_that_stops_a_training_is_said(leaking: Path, config_of: ConfigOf) -> None:
    with pytest.raises(LeakError, match=r"2 of the 12 other images; at most 1 % would be left out"):
        refuse_leaks(config_of(leaking), prepare(config_of(leaking)))


def test_few_leaks_are_left_out_without_a_question(tmp_path: Path, config_of: ConfigOf) -> None:
    """Three of 300 are a hundredth; one more stops the training."""
    root = tmp_path / "few"
    write_split(root, "train", range(300), digits=3)
    write_split(root, "test", range(400, 410))
    for n in range(3):
        write(root, f"test/a/copy{n}.png", picture(n))
    config = config_of(root)
    data = prepare(config)
    refuse_leaks(config, data)
    assert len(data.train) + len(data.validation) == 297
    assert not {"train/a/000.png", "train/b/001.png"} & {*data.train.names, *data.validation.names}
    assert data.describe()["leaks"] | {"examples": []} == {
        "num_test": 3,
        "kinds": {"exact": 3},
        "dropped": 3,
        "published": False,
        "examples": [],
    }
    assert any("those 3 image(s) were left out" in note for note in data.notes)
    allowed = prepare(config_of(root, leaks="allow"))
    assert len(allowed.train) + len(allowed.validation) == 300
    write(root, "test/a/copy3.png", picture(3))
    with pytest.raises(LeakError, match=r"4 of the 14 test images"):
        refuse_leaks(config, prepare(config))


def test_a_turned_copy_of_a_test_image_leaks(tmp_path: Path, config_of: ConfigOf) -> None:
    root = tmp_path / "turned"
    write_split(root, "train", range(12))
    write_split(root, "test", range(20, 26))
    write(root, "test/a/copy.png", picture(4).transpose(Image.Transpose.TRANSVERSE))
    data = prepare(config_of(root))
    assert [(leak.test, leak.beside, leak.kind) for leak in data.leaks] == [
        ("test/a/copy.png", "train/a/4.png", "turned")
    ]
    with pytest.raises(LeakError, match="1 mirrored or turned"):
        refuse_leaks(config_of(root), data)


def test_turned_copies_stay_on_one_side_and_earlier_runs_keep_their_splits(
    tmp_path: Path, config_of: ConfigOf
) -> None:
    root = tmp_path / "augmented"
    for n in range(40):
        write(root, f"{'ab'[n % 2]}/{n}.png", picture(n))
        write(root, f"{'ab'[n % 2]}/{n}_m.png", picture(n).transpose(Image.Transpose(0)))
        write(root, f"{'ab'[n % 2]}/{n}_t.png", picture(n).transpose(Image.Transpose.ROTATE_90))
    data = prepare(config_of(root))
    for part in (data.train, data.validation):
        stems = [Path(name).stem.partition("_")[0] for name in part.names]
        assert all(stems.count(stem) == 3 for stem in stems)
    assert data.turned_pairs >= 80
    assert any("mirrored or turned by quarters" in note for note in data.notes)
    assert data.describe()["turned_pairs"] == data.turned_pairs
    before = prepare(config_of(root), turned=False)
    assert before.test.digest != data.test.digest
    assert "turned_pairs" not in before.describe()
    # Whoever allows leaks takes the set as it is.
    assert prepare(config_of(root, leaks="allow")).test.digest == before.test.digest
    stems = [Path(name).stem.partition("_")[0] for name in before.train.names]
    assert any(stems.count(stem) < 3 for stem in stems)


def test_without_turned_copies_a_set_is_the_same_for_earlier_runs(
    leaking: Path, config_of: ConfigOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = prepare(config_of(leaking, leaks="allow"))

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("decoded again")

    monkeypatch.setattr("striate.data.dataset.build", refuse)
    before = prepare(config_of(leaking, leaks="allow"), turned=False)
    assert before.digest == data.digest


def test_allowed_leaks_are_noted(leaking: Path, config_of: ConfigOf) -> None:
    config = config_of(leaking, leaks="allow")
    data = prepare(config)
    refuse_leaks(config, data)
    assert data.describe()["leaks"]["num_test"] == 2
    assert any("--allow-leaks" in note for note in data.notes)


def test_dropping_takes_the_training_side(leaking: Path, config_of: ConfigOf) -> None:
    config = config_of(leaking, leaks="drop")
    data = prepare(config)
    refuse_leaks(config, data)
    names = {*data.train.names, *data.validation.names}
    assert len(names) == 10
    assert not names & {"train/a/4.png", "train/b/7.png"}
    assert data.test.digest == prepare(config_of(leaking)).test.digest
    assert data.describe()["leaks"]["dropped"] == 2


def test_a_published_split_is_left_as_it_is(leaking: Path, config_of: ConfigOf) -> None:
    from striate.data import open_source

    source = open_source(str(leaking))
    source.published = True
    data = prepare(config_of(leaking), source=source)
    refuse_leaks(config_of(leaking), data)
    assert any("published" in note for note in data.notes)


def test_near_copies_stay_on_one_side_where_we_divide(tmp_path: Path, config_of: ConfigOf) -> None:
    root = tmp_path / "photos"
    for n in range(40):
        write(root, f"{'ab'[n % 2]}/{n}.png", picture(n))
        write(root, f"{'ab'[n % 2]}/{n}-small.png", picture(n).resize((29, 35)))
    for seed in range(3):
        data = prepare(config_of(root, split_seed=seed))
        assert data.leaks == ()
        for part in (data.train, data.validation):
            stems = [Path(name).stem.removesuffix("-small") for name in part.names]
            assert all(stems.count(stem) == 2 for stem in stems)


def test_the_search_is_remembered_by_content(
    leaking: Path, config_of: ConfigOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    from striate.data import duplicate_check

    first = prepare(config_of(leaking))

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("compared again")

    monkeypatch.setattr(duplicate_check, "find_pairs", refuse)
    assert prepare(config_of(leaking, input_size=(8, 8))).leaks == first.leaks
    write(leaking, "train/a/new.png", picture(99))
    with pytest.raises(RuntimeError, match="compared again"):
        prepare(config_of(leaking))


def test_named_groups_never_straddle(tmp_path: Path, config_of: ConfigOf) -> None:
    root = tmp_path / "clinic"
    for n in range(60):
        write(root, f"{'ab'[n % 2]}/patient{n // 6}/{n}.png", picture(n))
    data = prepare(config_of(root, groups="*/patientGROUP/*"))
    sides = [{name.split("/")[1] for name in part.names} for part in (data.train, data.validation)]
    assert not sides[0] & sides[1]
    whole = [name.split("/")[1] for name in (*data.train.names, *data.validation.names)]
    assert all(whole.count(patient) == 6 for patient in whole)


def test_the_column_group_of_a_list_is_kept_together(tmp_path: Path, config_of: ConfigOf) -> None:
    lines = ["path,label,group"]
    for n in range(40):
        write(tmp_path, f"{n}.png", picture(n))
        lines.append(f"{n}.png,{'ab'[n % 2]},film{n // 4}")
    (tmp_path / "list.csv").write_text("\n".join(lines))
    data = prepare(config_of(tmp_path / "list.csv"))
    films = [int(name[:-4]) // 4 for name in (*data.train.names, *data.validation.names)]
    assert all(films.count(film) == 4 for film in films)


def test_a_pattern_that_does_not_fit_is_refused() -> None:
    items = [Item("cat/p7_3.png", 0, None), Item("cat/loose.png", 0, None)]
    with pytest.raises(DataError, match=r"1 of 2 names do not fit .*cat/loose.png"):
        named_groups(items, "*/GROUP_*")
    with pytest.raises(DataError, match="Write GROUP there once"):
        named_groups(items, "*/*")
