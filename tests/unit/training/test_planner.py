"""What the planner chooses for sets of every kind, and how a measured speed changes it."""

from dataclasses import replace

import pytest
import torch

from striate.config import RunConfig
from striate.data import Survey
from striate.errors import ConfigError
from striate.networks import Airbench
from striate.registry import Pick
from striate.tasks import Classification, Conditions, Setting
from striate.training.assemble import check_config
from striate.training.planner import decide, growth, network
from striate.training.planner.images import num_training
from striate.training.planner.length import most_images
from striate.training.planner.optimiser import batch_size

CURVE = growth.Growth(
    "known",
    10,
    50_000,
    32,
    {
        0.5: ((10_000, 0.4), (100_000, 0.2), (1_000_000, 0.15)),
        1.0: ((10_000, 0.5), (100_000, 0.2), (1_000_000, 0.1)),
        2.0: ((10_000, 0.6), (100_000, 0.25), (1_000_000, 0.08)),
    },
)


@pytest.fixture
def photographs() -> Survey:
    return survey_of(50_000, 32, grey=0.0)


@pytest.fixture
def curve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "load", lambda: (CURVE,))


def conditions_of(num: int, side: int, seconds: float, speed) -> tuple[Conditions, tuple[int, int]]:
    """Facts of a set whose speed follows from the network and the images of a batch alone."""
    sides = (side, side, side)
    measured = lambda pick, descent, batch, size: speed(pick, batch)  # noqa: E731
    return Conditions(num, 10, sides, sides, seconds, {}, measured), (side, side)


def survey_of(num: int, side: int, grey: float, classes: int = 10) -> Survey:
    return Survey(
        title="set",
        class_names=tuple(f"class {k}" for k in range(classes)),
        num_images=num,
        counts_per_class={"unsplit": (num // classes,) * classes},
        num_sampled=100,
        heights=(side, side, side),
        widths=(side, side, side),
        grey_share=grey,
        modes={"RGB": 100},
        formats={"JPEG": 100},
        num_broken=0,
    )


@pytest.mark.parametrize(
    ("num", "side", "grey"),
    [(200, 8, 1.0), (1_500, 200, 1.0), (50_000, 32, 0.0), (9_000, 64, 0.01), (10**6, 256, 0.0)],
)
@pytest.mark.parametrize("minutes", [0.5, 10.0, 600.0])
def test_a_plan_is_whole_for_any_set_and_time(num, side, grey, minutes) -> None:
    config, choices = decide(
        "x", survey_of(num, side, grey), {"training": {"minutes": minutes}}, lambda *_: 1000.0
    )
    assert config.training.minutes == minutes
    assert config.data.channels == (1 if grey == 1.0 else 3)
    assert all(choice.why and choice.value for choice in choices)


def slow_and_fast(rate: float):
    """A machine whose speed falls with the square of the widths."""

    def measure(classes: int, channels: int, execution: object, pick: Pick, *_) -> float:
        return rate * (128 / max(pick.arguments["widths"])) ** 2

    return measure


@pytest.mark.parametrize(
    ("rate", "widths"), [(200.0, (16, 64, 64)), (1_500.0, (32, 128, 128)), (1e5, (64, 256, 256))]
)
def test_a_faster_machine_trains_a_wider_network(curve, photographs, rate, widths) -> None:
    settings = {"training": {"minutes": 5.0}}
    config, choices = decide("x", photographs, settings, slow_and_fast(rate))
    assert tuple(config.network.arguments["widths"]) == widths
    told = {choice.what: choice for choice in choices}
    assert "known" in told["expected error"].why


def test_what_was_asked_for_is_not_measured(curve, photographs) -> None:
    def fail(*_: object) -> float:
        raise AssertionError("nothing to measure")

    settings = {"training": {"minutes": 5.0}, "network": {"name": "resnet"}}
    config, _ = decide("x", photographs, settings, fail)
    assert config.network.name == "resnet"
    short, _ = decide("x", photographs, {"training": {"minutes": 0.25}}, fail)
    assert short.training.validations <= 2


def test_a_training_of_seconds_is_half_as_wide_where_images_are_many(photographs) -> None:
    def widths(survey: Survey, settings: dict) -> list[int]:
        return list(decide("x", survey, settings)[0].network.arguments["widths"])

    seconds, half_a_minute = ({"training": {"minutes": m}} for m in (0.25, 0.5))
    assert widths(photographs, seconds) == [16, 64, 64]
    assert widths(photographs, half_a_minute) == [32, 128, 128]
    assert widths(photographs, {"training": {"epochs": 1.0}}) == [32, 128, 128]
    few = survey_of(3_000, 32, grey=0.0)
    assert widths(few, seconds) == widths(few, half_a_minute)
    rates = [
        decide("x", survey, settings)[0].optimiser.arguments["lr"]
        for survey, settings in (
            (photographs, seconds),
            (photographs, half_a_minute),
            (few, seconds),
        )
    ]
    assert rates[0] > 2 * rates[1]
    assert rates[2] < rates[1]  # of smaller batches


def test_the_recipe_of_seconds(photographs) -> None:
    def planned(survey: Survey, minutes: float, **asked: object) -> RunConfig:
        return decide("x", survey, {"training": {"minutes": minutes}, **asked})[0]

    hasty = planned(photographs, 0.25)
    assert hasty.training.batch_size == 256
    assert hasty.optimiser.arguments["lr"] == pytest.approx(0.09)
    assert hasty.optimiser.arguments["momentum"] == 0.7
    assert hasty.schedule.arguments["peak"] == 0.1
    assert [pick.name for pick in hasty.augmentation] == ["flip"]
    smaller_steps = decide("x", photographs, {"training": {"minutes": 0.25, "batch_size": 64}})[0]
    assert smaller_steps.optimiser.arguments["lr"] == pytest.approx(0.045)
    for ordinary in (
        planned(photographs, 0.5),
        planned(photographs, 0.25, network={"name": "resnet"}),
        planned(photographs, 0.25, network={"name": "airbench"}),
        planned(survey_of(20_000, 32, grey=0.0), 0.25),  # each would be shown many times
        planned(survey_of(50_000, 64, grey=0.0), 0.25),
    ):
        assert ordinary.training.batch_size == 128
        assert ordinary.schedule.arguments["peak"] == 0.2
        assert [pick.name for pick in ordinary.augmentation] == ["flip", "shift"]


MINUTE = {"training": {"minutes": 1.0}}


@pytest.mark.parametrize(
    ("settings", "side", "share"),
    [
        (MINUTE, 32, 0.4),
        (MINUTE, 64, 0.4),
        (MINUTE, 31, 0.0),
        ({}, 32, 0.0),  # epochs end it: no time to win
        ({"training": {"minutes": 1.0, "epochs": 5.0}}, 32, 0.0),
        ({"training": {"epochs": 5.0}}, 32, 0.0),
        ({"training": {"minutes": 1.0, "small_share": 0.2}}, 32, 0.2),
        ({"training": {"minutes": 1.0, "small_share": 0.0}}, 32, 0.0),
        ({"training": {"minutes": 1.0, "small_scale": 0.75}}, 32, 0.4),
        ({"training": {"minutes": 1.0, "small_scale": 0.25}}, 32, 0.0),  # 8 × 8 for three stages
        ({**MINUTE, "network": {"name": "resnet"}}, 32, 0.0),
        ({**MINUTE, "network": {"name": "airbench"}}, 32, 0.4),
        # 19 pixels are 18 behind the first convolution: too few for five halvings
        ({**MINUTE, "network": {"name": "airbench", "widths": [8, 8, 8, 8]}}, 32, 0.4),
        ({**MINUTE, "network": {"name": "airbench", "widths": [8, 8, 8, 8, 8]}}, 32, 0.0),
    ],
)
def test_images_are_smaller_at_first_where_that_wins_time(settings, side, share) -> None:
    config, choices = decide("x", survey_of(20_000, side, grey=0.0), settings)
    assert config.training.small_share == share
    assert any(choice.what == "smaller at first" for choice in choices) == (share > 0)


def test_every_size_passes_the_network_when_it_is_shown_smaller() -> None:
    sizes = [(side, side) for side in range(32, 257, 3)] + [(32, 64), (33, 100), (200, 47)]
    for size in sizes:
        settings = {**MINUTE, "data": {"input_size": list(size)}}
        config, _ = decide("x", survey_of(20_000, 64, grey=0.0), settings)
        assert config.training.small_share > 0
        shown = [round(length * config.training.small_scale) for length in size]
        widths = tuple(config.network.arguments["widths"])
        network = Airbench(num_classes=10, input_size=size, widths=widths).eval()
        with torch.no_grad():
            assert network(torch.zeros(1, 3, *shown)).shape == (1, 10)


def test_a_size_that_the_network_cannot_take_is_told_before_any_image_is_read() -> None:
    settings = {"training": {"steps": 5, "small_share": 0.5, "small_scale": 0.2}}
    config, _ = decide("x", survey_of(20_000, 32, grey=0.0), settings)
    with pytest.raises(ConfigError, match=r"6 × 6 pixels at first.*larger training\.small_scale"):
        check_config(config)


def test_arguments_of_an_augmentation_are_checked_before_any_image_is_read() -> None:
    settings = {"augmentation": [{"name": "shift", "fractoin": 0.1}]}
    config, _ = decide("x", survey_of(20_000, 32, grey=0.0), settings)
    with pytest.raises(ConfigError, match="fractoin"):
        check_config(config)


def test_mirrored_views_follow_the_mirrored_training(photographs) -> None:
    config, _ = decide("x", photographs, {})
    assert config.prediction.mirrored
    assert config.prediction.shift == 1
    plain, _ = decide("x", photographs, {"augmentation": [{"name": "shift"}]})
    assert not plain.prediction.mirrored
    characters, _ = decide("x", survey_of(1_800, 28, grey=1.0), {})
    assert not characters.prediction.mirrored
    short, _ = decide("x", photographs, {"training": {"minutes": 1.9}})
    longer, _ = decide("x", photographs, {"training": {"minutes": 2.1}})
    assert (short.prediction.shift, longer.prediction.shift) == (0, 1)


class TestGrowth:
    """Errors between and beyond recorded trainings."""

    def test_trainings_of_about_as_many_images_are_one_point(self) -> None:
        first, second, last = next(g for g in growth.load() if g.name == "CIFAR-10").points[0.5]
        assert first == (42_240, pytest.approx((0.2794 + 0.2594) / 2))
        assert second == (103_360, pytest.approx((0.202 + 0.205) / 2))
        assert last == (571_648, 0.135)

    def test_smaller_images_count_as_what_they_cost(self) -> None:
        """Of 925,696 images 370,278 were smaller, at half the cost."""
        cifar = next(g for g in growth.load() if g.name == "CIFAR-10")
        assert cifar.points[3.0] == ((128_000, 0.117), (740_557, 0.0802))

    def test_recorded_points_are_met(self) -> None:
        for images, error in CURVE.points[1.0]:
            assert CURVE.error(1.0, images) == pytest.approx(error)

    def test_between_two_points_the_logarithms_are_straight(self) -> None:
        assert CURVE.error(1.0, 10**5.5) == pytest.approx((0.2 * 0.1) ** 0.5)

    def test_beyond_the_last_point_it_falls_half_as_fast(self) -> None:
        # log10(0.08 / 0.25) = -0.4949 in a decade before; 0.08 · 4^(-0.2474) after
        assert CURVE.error(2.0, 4e6) == pytest.approx(0.05677, rel=1e-3)

    def test_before_its_first_point_a_width_errs_as_the_narrower_does(self) -> None:
        """The widest alone would promise 0.16 · 10^0.3 = 0.319 a decade before its first point."""
        wide = {3.0: ((100_000, 0.16), (1_000_000, 0.08))}
        known = replace(CURVE, points={**CURVE.points, **wide})
        assert known.error(3.0, 10_000) == pytest.approx(0.16 * 0.6 / 0.25)
        assert known.error(3.0, 200_000) == pytest.approx(0.16 * 2**-0.30103)
        assert known.error(2.0, 1_000) == CURVE.error(2.0, 1_000), "recorded as short as others"

    def test_no_error_beyond_chance_or_below_half_of_the_best(self) -> None:
        assert CURVE.error(2.0, 1) == pytest.approx(0.9)
        assert CURVE.error(1.0, 1e12) == pytest.approx(0.05)

    def test_the_shipped_table_is_sound(self) -> None:
        for known in growth.load():
            for points in known.points.values():
                images = [seen for seen, _ in points]
                assert images == sorted(images)
                assert all(0 < error < 1 for _, error in points)

    def test_the_set_most_similar_is_near_in_number_of_images(self, monkeypatch) -> None:
        small = growth.Growth("small", 15, 1_300, 128, {1.0: ((1_000, 0.5),)})
        monkeypatch.setattr(growth, "load", lambda: (CURVE, small))
        assert growth.most_similar(20, 2_000, 96) is small
        assert growth.most_similar(20, 40_000, 48) is CURVE


def test_a_candidate_says_how_many_images_it_would_see(curve) -> None:
    conditions, size = conditions_of(45_000, 32, 106.0, lambda pick, batch: 1000.0)
    found = network.candidates((32, 128, 128), conditions, size)
    assert [c.factor for c in found] == [0.5, 1.0, 2.0]
    assert found[1].images == pytest.approx(1e5)
    assert found[1].error == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("exponent", "factors"), [(-1, [0.5, 1.0, 2.0, 3.0]), (-2, [0.5, 1.0, 2.0])]
)
def test_the_widest_network_is_tried_only_if_it_may_end_lowest(
    monkeypatch, exponent, factors
) -> None:
    """A million images of the second promise 0.08, 667,000 of the widest 0.077, 444,000 0.10."""
    widest = {3.0: ((10**5, 0.3), (10**6, 0.058))}
    known = replace(CURVE, points={**CURVE.points, **widest})
    monkeypatch.setattr(growth, "load", lambda: (known,))
    tried = []

    def speed(pick, batch):
        tried.append(pick.arguments["widths"][-1])
        return 1e4 * (tried[-1] / 256) ** exponent

    conditions, size = conditions_of(45_000, 32, 106.0, speed)
    found = network.candidates((32, 128, 128), conditions, size)
    assert [c.factor for c in found] == factors
    assert tried == [round(128 * factor) for factor in factors]


def test_a_slow_machine_tries_fewer_widths(curve, monkeypatch) -> None:
    clock = iter(range(0, 1_000, 4))
    monkeypatch.setattr(network.time, "monotonic", lambda: float(next(clock)))
    for seconds, factors in ((30.0, [0.5]), (60.0, [0.5, 1.0]), (600.0, [0.5, 1.0, 2.0])):
        conditions, size = conditions_of(45_000, 32, seconds, lambda pick, batch: 1000.0)
        found = network.candidates((32, 128, 128), conditions, size)
        assert [c.factor for c in found] == factors


@pytest.mark.parametrize(
    ("seconds", "chosen"), [(60.0, 1.0), (90.0, 2.0), (300.0, 2.0), (900.0, 2.0), (1800.0, 3.0)]
)
def test_the_shipped_table_chooses_wide_networks_for_long_trainings_only(seconds, chosen) -> None:
    """Images a second of 2 cores with AVX-512, CIFAR-10."""
    measured = {64: 4136.0, 128: 1776.0, 256: 1007.0, 384: 450.0}
    conditions, size = conditions_of(
        47_500, 32, seconds, lambda pick, _: measured[pick.arguments["widths"][-1]]
    )
    found = network.candidates((32, 128, 128), conditions, size)
    assert network._best(found).factor == chosen
    assert (3.0 in [c.factor for c in found]) == (seconds >= 900), "trying it takes seconds"


@pytest.mark.parametrize("data", [{"validation_fraction": 1.5}, {"test_fraction": 1.0}])
def test_a_share_that_leaves_nothing_is_told_not_computed_with(data, photographs) -> None:
    with pytest.raises(ConfigError, match="must lie between 0 and 1"):
        decide("x", photographs, {"training": {"minutes": 5.0}, "data": data}, lambda *_: 1000.0)


def test_training_images_are_those_that_are_not_held_out(photographs) -> None:
    """50,000 without named splits: 10,000 for test, of the others 2,500, a share or a fold."""
    assert num_training(photographs, {}) == 37_500
    assert num_training(photographs, {"data": {"validation_fraction": 0.25}}) == 30_000
    assert num_training(photographs, {"data": {"folds": 2}}) == 20_000
    assert num_training(survey_of(1_000, 32, 0.0), {}) == 720


def test_speed_is_measured_as_the_training_will_run(photographs) -> None:
    asked = []

    def speed(*arguments):
        asked.append(arguments[2])
        return 1000.0

    settings = {"training": {"minutes": 5.0}, "execution": {"threads": 1, "exact": True}}
    decide("x", photographs, settings, speed)
    assert len(asked) >= 3
    assert all((how.threads, how.exact, how.device) == (1, True, "auto") for how in asked)


@pytest.mark.parametrize("threads", [0, 100_000])
def test_threads_that_cannot_be_had_are_not_measured_with(photographs, threads) -> None:
    def fail(*_: object) -> float:
        raise AssertionError("nothing to measure with")

    settings = {"training": {"minutes": 5.0}, "execution": {"threads": threads}}
    with pytest.raises(ConfigError, match=f"threads={threads} (must be 1 or more|is too many)"):
        check_config(decide("x", photographs, settings, fail)[0])


@pytest.mark.parametrize(
    ("num", "side", "factor", "expected"),
    [
        (50_000, 32, 1.0, 128),
        (50_000, 32, 2.0, 512),
        (50_000, 64, 2.0, 512),
        (12_000, 128, 2.0, 128),
        (12_000, 224, 2.0, 32),
        (12_000, 224, 1.0, 32),
        (12_000, 1024, 1.0, 16),
        (500, 512, 1.0, 16),
        (500, 64, 1.0, 32),
    ],
)
def test_a_batch_of_large_images_is_small(num, side, factor, expected) -> None:
    assert batch_size(num, (side, side), factor) == expected


def test_widths_that_do_not_fit_the_memory_are_left_out() -> None:
    def speed(pick: Pick, batch: int) -> float:
        if pick.arguments["widths"][-1] >= 256:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return 900.0

    conditions, size = conditions_of(12_000, 96, 600.0, speed)
    found = network.candidates((32, 64, 128), conditions, size)
    assert [candidate.widths[-1] for candidate in found][-1] < 256
    with pytest.raises(torch.OutOfMemoryError):
        network.candidates((128, 512, 512), conditions, size)


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        ({}, 100 * 200),
        ({"minutes": 5}, 300 * 200),
        ({"epochs": 3, "minutes": 60}, 3 * 200),
        ({"steps": 100, "minutes": 5}, 100 * 32),
        ({"steps": 10_000, "epochs": 2}, 400),
    ],
)
def test_the_length_may_end_before_the_time(training, expected) -> None:
    found = most_images({"training": training}, 200, (96, 96), 32)
    assert found == expected


def test_the_expected_error_is_that_of_the_images_that_will_be_shown() -> None:
    _, choices = decide("x", survey_of(250, 96, 0.0), {}, lambda *_: 1000.0)
    told = next(choice for choice in choices if choice.what == "expected error")
    assert "time to show 594,000, the length ends at" in told.why
    table = growth.most_similar(10, 250, 96)
    shown = float(told.value.removeprefix("about ").removesuffix("%")) / 100
    assert shown > 1.5 * min(table.error(factor, 594_000.0) for factor in table.points)


def test_tiny_characters_are_learned_in_seconds_unless_a_length_was_asked_for() -> None:
    def fail(*_: object) -> float:
        raise AssertionError("measuring takes longer than it could win")

    def planned(survey: Survey, **asked: object) -> tuple[float | None, int]:
        training = decide("x", survey, asked)[0].training
        return training.epochs, training.batch_size

    digits = survey_of(1_797, 8, grey=1.0)
    config, choices = decide("x", digits, {}, fail)
    assert list(config.network.arguments["widths"]) == [64, 64]
    assert (config.training.epochs, config.training.minutes) == (10.0, 10.0)
    told = {choice.what: choice for choice in choices}
    assert "CIFAR" not in told["expected error"].why
    assert "digits" in told["expected error"].why
    assert planned(digits) == (10.0, 64)
    assert planned(survey_of(300, 8, grey=1.0)) == (40.0, 32)
    assert planned(survey_of(1_797, 8, grey=1.0, classes=40)) == (40.0, 32)  # more to tell apart
    # Whatever a person asked for is trained as it always was.
    assert planned(digits, training={"minutes": 1.0}) == (120.0, 32)
    assert planned(digits, training={"epochs": 3.0}) == (3.0, 32)
    assert planned(digits, training={"steps": 150}) == (None, 32)
    assert planned(digits, network={"name": "lenet5"}) == (40.0, 32)
    assert planned(digits, training={"batch_size": 16}) == (40.0, 16)
    # Photographs and larger characters show how hard they are only in a longer training.
    assert planned(survey_of(1_797, 8, grey=0.5)) == (40.0, 32)
    assert planned(survey_of(1_797, 28, grey=1.0)) == (100.0, 32)


def test_characters_are_tiny_by_their_longer_side() -> None:
    def epochs(size: tuple[int, int]) -> float:
        return most_images({"training": {"minutes": 5.0}}, 100, size, 32) / 100

    assert [epochs(size) for size in ((16, 16), (8, 60), (60, 8), (64, 64))] == [120, 300, 300, 300]


class Chooses(Classification):
    """A task that takes the wider of two networks where it is fast enough."""

    def suited(self, conditions: Conditions) -> dict[str, Setting]:
        wide, descent = Pick("unet", width=32), Pick("adamw", lr=1e-3)
        rate = conditions.speed(wide, descent, 4, (48, 64)) if conditions.speed else 0.0
        width = 32 if rate * conditions.seconds > conditions.num_images else 8
        network = {"name": "unet", "width": width}
        crop = [{"name": "crop", "size": [48, 64]}]
        return super().settings() | {
            "network": Setting("network", network, "fast enough", f"unet {width}"),
            "augmentation": Setting("augmentation", crop, "windows", "crop"),
            "training.batch_size": Setting("batch", 4, "large images", "4"),
        }


def test_a_task_chooses_by_the_time_and_the_speed_and_a_person_wins() -> None:
    """96 × 128 images, of which a machine learns 100 a second in windows of a quarter."""
    asked_of = []

    def measure(classes: int, channels: int, how: object, *rest: object) -> float:
        network, optimiser, batch, size = rest
        asked_of.append((classes, channels, size, batch, str(network), str(optimiser)))
        return 100.0

    surveyed = survey_of(6_000, 96, grey=1.0)
    config, choices = decide("x", surveyed, {"training": {"minutes": 2}}, measure, Chooses())
    assert asked_of == [(10, 1, (48, 64), 4, "unet(width=32)", "adamw(lr=0.001)")]
    assert config.network == Pick("unet", width=32)
    assert config.training.batch_size == 4
    assert config.augmentation == (Pick("crop", size=[48, 64]),)
    assert ("network", "unet 32", "fast enough") in [(c.what, c.value, c.why) for c in choices]
    short, _ = decide("x", surveyed, {"training": {"minutes": 0.5}}, measure, Chooses())
    assert short.network == Pick("unet", width=8)
    steps, _ = decide("x", surveyed, {"training": {"steps": 5}}, measure, Chooses())
    assert steps.network == Pick("unet", width=8)
    deep, _ = decide("x", surveyed, {"network": {"depth": 2}}, None, Chooses())
    assert deep.network == Pick("unet", width=8, depth=2)
    other, _ = decide("x", surveyed, {"network": {"name": "segnet"}}, measure, Chooses())
    assert other.network == Pick("segnet")
