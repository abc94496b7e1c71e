"""Names bound to constructors: every mistake is found before anything is built."""

import pytest

from striate.errors import ConfigError
from striate.registry import Pick, Registry


def cat(num_classes: int, *, legs: int = 4, colour: str = "black") -> tuple[int, int, str]:
    """A cat.

    More of it.
    """
    return num_classes, legs, colour


@pytest.fixture
def animals() -> Registry[tuple[int, int, str]]:
    return Registry("animal", {"cat": cat})


def test_build_fills_in_what_the_constructor_names(animals):
    built = animals.build(Pick("cat", legs=3), num_classes=7, never_named="x")
    assert built == (7, 3, "black")


def test_all_problems_are_reported_together_with_the_nearest_names(animals):
    with pytest.raises(ConfigError, match="Did you mean 'legs'") as caught:
        animals.build(Pick("cat", leg=3, color="red", num_classes=2), num_classes=7)
    assert len(caught.value.problems) == 3
    assert "Did you mean 'colour'" in str(caught.value)
    assert "follows from the data" in str(caught.value)


def test_missing_argument_and_unknown_name(animals):
    assert animals.problems(Pick("cat")) == ["animal 'cat' needs the argument 'num_classes'."]
    with pytest.raises(ConfigError, match=r"no animal named 'cst'. Did you mean 'cat'\? Known"):
        animals.build(Pick("cst"))


def test_register_refuses_a_taken_name(animals):
    animals.register("dog", cat)
    assert list(animals) == ["cat", "dog"]
    with pytest.raises(ConfigError, match="registered already"):
        animals.register("dog", cat)


def test_description_is_the_first_line(animals):
    assert animals.describe("cat") == "A cat."


def test_pick_is_a_value():
    pick = Pick("cat", legs=3)
    assert pick == Pick.from_json({"name": "cat", "legs": 3})
    assert pick != Pick("cat", legs=4)
    assert hash(pick) == hash(Pick("cat", legs=3))
    assert str(pick) == "cat(legs=3)"
    with pytest.raises(AttributeError, match="immutable"):
        pick.name = "dog"
    with pytest.raises(ConfigError, match='needs a "name"'):
        Pick.from_json({"legs": 3})


def test_bound_function_takes_the_rest_later(animals):
    bound = animals.bind(Pick("cat", legs=2), ("num_classes",))
    assert bound(num_classes=5) == (5, 2, "black")
    with pytest.raises(ConfigError, match="no argument 'tail'"):
        animals.bind(Pick("cat", tail=1), ("num_classes",))


@pytest.mark.parametrize(
    ("value", "fits"), [(3, True), (0.5, False), ("3", False), (True, False), (None, False)]
)
def test_plain_types_are_checked(animals, value, fits):
    problems = animals.problems(Pick("cat", legs=value), ("num_classes",))
    assert (problems == []) == fits
    if not fits:
        assert "accepted: a whole number" in problems[0]


def test_a_list_becomes_the_tuple_that_is_asked_for():
    def widths(*, sizes: tuple[int, ...] = (), names: list[str] | None = None):
        """Sizes."""
        return sizes, names

    table = Registry("thing", {"widths": widths})
    assert table.build(Pick("widths", sizes=[1, 2], names=["a"])) == ((1, 2), ["a"])
