"""Near copies find each other whatever was done to them; mere neighbours do not."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from striate.data.near_duplicates import connected, find_pairs, pair
from striate.data.near_duplicates.alignment import align
from striate.data.near_duplicates.descriptor import describe, grey_of, views
from striate.data.near_duplicates.forest import close_pairs


def scenes(count: int, seed: int) -> list[Image.Image]:
    """Noise whose power falls as 1/f²: structure of all sizes, as photographs have."""
    draw = np.random.default_rng(seed)
    down, across = np.meshgrid(np.fft.fftfreq(72), np.fft.fftfreq(60), indexing="ij")
    weight = 1 / np.maximum(np.hypot(down, across), 1 / 72)
    pictures = []
    for _ in range(count):
        planes = draw.normal(size=(72, 60, 3))
        shaped = np.fft.ifft2(
            np.fft.fft2(planes, axes=(0, 1)) * weight[..., None], axes=(0, 1)
        ).real
        shaped = 127 + 45 * shaped / shaped.std()
        pictures.append(Image.fromarray(shaped.clip(0, 255).astype(np.uint8)))
    return pictures


def thumbnails(pictures: list[Image.Image]) -> np.ndarray:
    size = (32, 32)
    return np.stack([np.asarray(p.resize(size, Image.Resampling.BILINEAR)) for p in pictures])


def saved_again(picture: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=45)
    return Image.open(stream).convert("RGB")


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "resized": lambda p: p.resize((37, 44), Image.Resampling.BICUBIC),
    "recompressed": saved_again,
    "cut at one corner": lambda p: p.crop((0, 7, 55, 72)),
    "cut all round": lambda p: p.crop((2, 3, 57, 69)),
    "brightened": lambda p: p.point(lambda level: min(255, int(level * 1.2))),
    "darkened": lambda p: p.point(lambda level: int(level * 0.7)),
}


@pytest.mark.parametrize("kind", COPIES)
def test_copies_of_each_kind_are_found_and_nothing_else(kind: str) -> None:
    pictures = scenes(120, seed=1)
    copies = [COPIES[kind](pictures[i]) for i in range(0, 120, 3)]
    found = find_pairs(thumbnails([*pictures, *copies]))
    pairs = set(zip(found.first.tolist(), found.second.tolist(), strict=True))
    planted = {(3 * k, 120 + k) for k in range(40)}
    assert len(pairs & planted) >= 37
    assert not pairs - planted


def people(count: int, seed: int) -> list[Image.Image]:
    """Eight people, each photographed again and again with more or less change."""
    faces, changes = scenes(8, seed), scenes(count, seed + 1)
    shares = np.random.default_rng(seed).uniform(0.12, 0.5, count)
    return [Image.blend(faces[n % 8], changes[n], float(shares[n])) for n in range(count)]


def test_cut_copies_are_found_among_look_alikes(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = people(160, seed=3)
    copies = [COPIES["cut all round"](pictures[i]) for i in range(0, 160, 4)]
    small = thumbnails([*pictures, *copies])
    planted = {(4 * k, 160 + k) for k in range(40)}

    def found() -> set[tuple[int, int]]:
        pairs = find_pairs(small)
        assert pairs.threshold > 0.99
        return set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))

    assert len(found() & planted) >= 38
    assert not found() - planted
    # The twin: compared as photographs of different things are, a stretch is taken for a change.
    monkeypatch.setattr(pair, "align", lambda one, other, *, strict: align(one, other))
    assert len(found() & planted) < 5


@pytest.mark.parametrize("position", list(Image.Transpose), ids=lambda position: position.name)
@pytest.mark.parametrize("again", [False, True], ids=["as it is", "recompressed"])
def test_mirrored_and_turned_copies_are_found(position: Image.Transpose, again: bool) -> None:
    pictures = scenes(60, seed=2)
    copies = [p.transpose(position) for p in pictures[:20]]
    if again:
        copies = list(map(saved_again, copies))
    found = find_pairs(thumbnails([*pictures, *copies]))
    pairs = set(zip(found.first.tolist(), found.second.tolist(), strict=True))
    planted = {(i, 60 + i) for i in range(20)}
    assert not pairs - planted
    # Where a picture hardly leans to one side, compression may change to which.
    assert len(pairs) >= (18 if again else 20)
    assert found.turned.all()


def test_mirrored_copies_that_were_cut_are_found_on_request_alone() -> None:
    pictures = scenes(60, seed=2)
    copies = [COPIES["cut all round"](p).transpose(Image.Transpose.ROTATE_90) for p in pictures[:9]]
    small = thumbnails([*pictures, *copies])
    assert len(find_pairs(small).first) < 4
    found = find_pairs(small, flips=True)
    pairs = set(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert not pairs - {(i, 60 + i) for i in range(9)}
    assert len(pairs) >= 7
    assert found.turned.all()


def test_a_set_of_pictures_that_are_alike_asks_for_more() -> None:
    """Faces of one person, ones of many hands: the same outline with small differences."""
    outline = np.asarray(scenes(1, seed=3)[0]).astype(float)
    draw = np.random.default_rng(4)
    alike = [
        Image.fromarray(
            (outline + 14 * draw.normal(size=outline.shape)).clip(0, 255).astype(np.uint8)
        )
        for _ in range(80)
    ]
    found = find_pairs(thumbnails(alike))
    assert found.threshold > 0.9
    assert len(found.first) <= 2


def test_constant_pictures_pair_with_nothing() -> None:
    flat = np.full((40, 32, 32, 3), 200, np.uint8)
    flat[::2] = 90
    assert len(find_pairs(flat).first) == 0


def test_the_order_of_rows_decides_and_the_disk_order_does_not() -> None:
    small = thumbnails([*scenes(50, seed=5), *map(saved_again, scenes(50, seed=5)[:7])])
    order = np.random.default_rng(0).permutation(len(small))
    shuffled = small[order]
    plain = find_pairs(small)
    found = find_pairs(shuffled, rows=np.argsort(order))
    np.testing.assert_array_equal(plain.first, found.first)
    np.testing.assert_array_equal(plain.second, found.second)


def test_alignment_undoes_a_cut_in_both_directions() -> None:
    pictures = scenes(20, seed=6)
    whole = thumbnails(pictures)
    cut = thumbnails([p.crop((5, 0, 60, 67)) for p in pictures])
    assert np.median(align(whole, cut).fine) > 0.95
    assert np.median(align(cut, whole).fine) > 0.95
    # Without it they hardly agree, so that the alignment has done it.
    grey_a, grey_b = grey_of(whole), grey_of(cut)
    plain = [
        np.corrcoef(a[5:-5, 5:-5].ravel(), b[5:-5, 5:-5].ravel())[0, 1]
        for a, b in zip(grey_a, grey_b, strict=True)
    ]
    assert np.median(plain) < 0.9


def test_descriptors_are_correlations_of_means_of_fields() -> None:
    grey = np.random.default_rng(7).uniform(0, 255, (2, 32, 32)).astype(np.float32)
    fields = grey.reshape(2, 8, 4, 8, 4).mean((2, 4)).reshape(2, -1)
    one, other = describe(grey)
    np.testing.assert_allclose(one @ other, np.corrcoef(fields)[0, 1], atol=1e-5)
    for view in views(grey):
        np.testing.assert_allclose(np.linalg.norm(view, axis=1), 1, atol=1e-5)


def test_the_forest_finds_the_nearest_of_many() -> None:
    draw = np.random.default_rng(8)
    vectors = draw.normal(size=(3000, 24)).astype(np.float32)
    vectors[2000:2200] = vectors[:200] + 0.15 * draw.normal(size=(200, 24))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    everyone = np.ones(3000, bool)
    found = close_pairs(vectors, np.arange(3000), everyone, least=0.9, trees=8, each=3)
    planted = {(k, 2000 + k) for k in range(200)}
    pairs = set(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert len(planted & pairs) >= 196
    products = vectors @ vectors.T
    np.testing.assert_allclose(found.similarity, products[found.first, found.second], atol=1e-5)
    # One tree alone parts many of them.
    one = close_pairs(vectors, np.arange(3000), everyone, least=0.9, trees=1, each=3)
    assert len(one.first) < 180


def test_of_two_compared_one_is_a_query() -> None:
    draw = np.random.default_rng(3)
    vectors = draw.normal(size=(400, 24)).astype(np.float32)
    vectors[200:] = vectors[:200] + 0.01 * draw.normal(size=(200, 24))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    queries = np.arange(400) < 10
    pairs = close_pairs(vectors, np.arange(400), queries, least=0.9, trees=8, each=3)
    assert {(int(a), int(b)) for a, b in zip(pairs.first, pairs.second, strict=True)} == {
        (i, i + 200) for i in range(10)
    }


def test_groups_join_through_others() -> None:
    assert connected(7, [(5, 1), (6, 5), (2, 3)]).tolist() == [0, 1, 2, 2, 4, 1, 1]
