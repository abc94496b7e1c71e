"""What a person writes after KEY= becomes a range or choices, or a sentence that helps."""

import pytest

from striate.search.dimension import Choices, Range, from_json, parse_dimension

GOOD = {
    "1e-4..3e-1:log": Range("k", 1e-4, 0.3, log=True),
    "16..48": Range("k", 16, 48, whole=True),
    "-2..2.5": Range("k", -2, 2.5),
    "x0.3..x7": Range("k", 0.3, 7, log=True, relative=True),
    "x0.5,x1": Choices("k", (0.5, 1.0), relative=True),
    "sgd,adamw": Choices("k", ("sgd", "adamw")),
    "[8,16],[24,8]": Choices("k", ([8, 16], [24, 8])),
    "0.1, 3, true": Choices("k", (0.1, 3, True)),
}


@pytest.mark.parametrize("text", GOOD)
def test_words_are_read_and_survive_json(text):
    problems = []
    found = parse_dimension("k", text, problems)
    assert (found, problems) == (GOOD[text], [])
    assert from_json(found.to_json()) == found
    assert parse_dimension("k", found.spell(), []) == found


def test_files_say_the_same_in_groups_and_lists():
    assert parse_dimension("k", {"low": 3, "high": 9}, []) == Range("k", 3, 9, whole=True)
    assert parse_dimension("k", {"low": 0.1, "high": 9, "log": True}, []) == Range(
        "k", 0.1, 9, log=True
    )
    assert parse_dimension("k", ["a", "b"], []) == Choices("k", ("a", "b"))


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
    problems = []
    assert parse_dimension("k", value, problems) is None
    assert len(problems) == 1
    assert told in problems[0]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"low": 1, "hihg": 2}, "Did you mean 'high'"),
        ({"low": 1}, "low and high as numbers"),
        ({"low": True, "high": 2}, "low and high as numbers"),
        ({"low": 1, "high": 2, "log": "yes"}, "log as true or false"),
        (7, "nothing to search"),
        ([], "nothing to search"),
    ],
)
def test_groups_of_a_file_that_make_no_sense_are_told(value, told):
    problems = []
    assert parse_dimension("k", value, problems) is None
    assert told in problems[0]
