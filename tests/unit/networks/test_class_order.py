"""Answers of published networks matched with the classes of a set."""

import pytest

from striate.errors import ConfigError
from striate.networks import PRETRAINED
from striate.networks.class_order import answer_names, class_order

CIFAR, IMAGENET = PRETRAINED["resnet20"], PRETRAINED["squeezenet"]
SYNSETS = [f"n{1440764 + 17 * k:08d}" for k in range(1000)]


def test_by_name_whatever_the_order_and_the_case() -> None:
    assert answer_names(IMAGENET) is None
    assert class_order(CIFAR, ("truck", "Cat", "airplane")) == (9, 3, 0)
    assert class_order(CIFAR, answer_names(CIFAR) or ()) == tuple(range(10))


def test_by_number() -> None:
    assert class_order(CIFAR, ("0", "7", "9")) == (0, 7, 9)
    assert class_order(IMAGENET, ("005", "995")) == (5, 995)
    with pytest.raises(ConfigError, match=r"numbers up to 10.*from 0 to 9"):
        class_order(CIFAR, [str(n) for n in range(1, 11)])


def test_by_rank_of_the_synset_id() -> None:
    names = [f"{synset}_thing" for synset in SYNSETS]
    turned = names[700:] + names[:700]
    assert class_order(IMAGENET, turned) == (*range(700, 1000), *range(700))
    with pytest.raises(ConfigError, match="or all 1000 synset ids"):
        class_order(IMAGENET, names[:999])  # a rank among fewer ids would be another class


def test_what_cannot_be_matched_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'plane', 'car' cannot be matched.*airplane"):
        class_order(CIFAR, ("plane", "car", "bird"))
    with pytest.raises(ConfigError, match=r"'agama', 'tench' cannot.*numbers from 0 to 999"):
        class_order(IMAGENET, ("agama", "tench"))
    with pytest.raises(ConfigError, match="'Cat', 'cat ' stand for the same"):
        class_order(CIFAR, ("Cat", "cat ", "dog"))
    with pytest.raises(ConfigError, match=r"'3', '03' stand|'03', '3' stand"):
        class_order(CIFAR, ("3", "03"))
