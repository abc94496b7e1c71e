"""What a person writes after KEY= becomes a range or choices, or a sentence that helps."""

import pytest

from striate.errors import ConfigError
from striate.search.dimension import Dimension, parse_dimension

GOOD = {
    "1e-4..3e-1:log": Dimension("k", (), 1e-4, 0.3, log=True),
    "16..48": Dimension("k", (), 16, 48, whole=True),
    "-2..2.5": Dimension("k", (), -2, 2.5),
    "x0.3..x7": Dimension("k", (), 0.3, 7, log=True, relative=True),
    "x0.5,x1": Dimension("k", (0.5, 1.0), relative=True),
    "sgd,adamw": Dimension("k", ("sgd", "adamw")),
    "[8,16],[24,8]": Dimension("k", ([8, 16], [24, 8])),
    "0.1, 3, true": Dimension("k", (0.1, 3, True)),
}


@pytest.mark.parametrize("text", GOOD)
def test_words_are_read_and_survive_json(text):
    found = parse_dimension("k", text)
    assert found == GOOD[text]
    assert Dimension.from_json(found.to_json()) == found
    assert parse_dimension("k", found.spell()) == found


def test_files_say_the_same_in_groups_and_lists():
    assert parse_dimension("k", {"low": 3, "high": 9}) == Dimension("k", (), 3, 9, whole=True)
    assert parse_dimension("k", {"low": 0.1, "high": 9, "log": True}) == Dimension(
        "k", (), 0.1, 9, log=True
    )
    assert parse_dimension("k", ["a", "b"]) == Dimension("k", ("a", "b"))


@pytest.mark.parametrize(
    ("value", "told"),
    {
        "3..1": "the first number must be below",
        "2..2": "the first number must be below",
        "0..1:log": "above zero",
        "x0..x2": "above zero",
        "x1..2": "before both ends",
        "x1,2": "before every multiple",
        "a..b": "no range of numbers",
        "1..1e999": "the first number must be below",
        "": "nothing to search",
        "7,7": "twice",
        "x-1,x2": "above zero",
    }.items(),
)
def test_what_makes_no_sense_is_told(value, told):
    with pytest.raises(ConfigError) as raised:
        parse_dimension("k", value)
    assert len(raised.value.problems) == 1
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"low": 1, "hihg": 2}, "low and high as numbers"),
        ({"low": 1}, "low and high as numbers"),
        ({"low": True, "high": 2}, "low and high as numbers"),
        ({"low": 1, "high": 2, "log": "yes"}, "log as true or false"),
        (7, "nothing to search"),
        ([], "nothing to search"),
    ],
)
def test_groups_of_a_file_that_make_no_sense_are_told(value, told):
    with pytest.raises(ConfigError) as raised:
        parse_dimension("k", value)
    assert told in str(raised.value)
