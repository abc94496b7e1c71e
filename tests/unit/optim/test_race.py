import json
import math
import re

import numpy as np
import pytest
import torch
from PIL import Image

from striate.errors import ConfigError
from striate.optim import OPTIMISERS
from striate.optim.page import draw_html
from striate.optim.picture import draw_gif, draw_png
from striate.optim.race import RATES, run_race
from striate.optim.surface import Surface, ravine, rosenbrock

FEW = {"sgd": OPTIMISERS["sgd"], "adam": OPTIMISERS["adam"]}


@pytest.fixture(scope="module")
def race():
    return run_race(ravine(), FEW, num_steps=30)


def test_track_is_the_optimisers_own_way(race):
    for track in race.tracks:
        point = torch.tensor(race.surface.start, dtype=torch.float64, requires_grad=True)
        optimiser = FEW[track.optimiser]([point], lr=track.rate)
        for step in range(30):
            assert track.points[step] == tuple(point.tolist())
            optimiser.zero_grad()
            value = race.surface.values(point[None])[0]
            assert track.values[step] == pytest.approx(value.item(), rel=1e-12)
            value.backward()
            optimiser.step()
        assert track.finished
        assert len(track.points) == len(track.values) == 31


def test_no_other_rate_wins_more_digits(race):
    height = race.tracks[0].values[0]
    for track in race.tracks:

        def cost(values):
            return sum(math.log10(max(value, 1e-6 * height)) for value in values)

        for rate in RATES:
            one = run_race(
                ravine(), {"own": FEW[track.optimiser]}, num_steps=30, rates=[rate, 1e-9]
            ).tracks[0]
            left, right, bottom, top = race.surface.bounds
            inside = all(left <= x <= right and bottom <= y <= top for x, y in one.points)
            if inside:
                assert cost(track.values) <= cost(one.values) + 1e-9


def test_table_says_when_each_arrived(race):
    rows = race.rows()
    assert [row["optimiser"] for row in rows] == [track.optimiser for track in race.tracks]
    finals = [row["step 30"] for row in rows]
    assert finals == sorted(finals)
    track = race.tracks[0]
    arrived = rows[0]["arrived"]
    assert track.values[arrived] <= 0.01 * track.values[0] < track.values[arrived - 1]
    lines = race.text().splitlines()
    assert lines[0] == "ravine, 30 steps"
    assert lines[1].split()[:2] == ["optimiser", "rate"]
    assert len(lines) == 4


def test_what_diverges_at_some_rates_runs_at_another():
    race = run_race(rosenbrock(), {"sgd": OPTIMISERS["sgd"]}, num_steps=12, rates=[10.0, 1e-4])
    assert race.tracks[0].rate == 1e-4
    with pytest.raises(ConfigError, match="at every rate tried"):
        run_race(rosenbrock(), {"sgd": OPTIMISERS["sgd"]}, num_steps=12, rates=[10.0])


def test_own_surface_and_own_optimiser(tmp_path):
    class Backwards(torch.optim.SGD):
        def step(self, closure=None):
            for group in self.param_groups:
                for parameter in group["params"]:
                    parameter.grad.neg_()
            return super().step(closure)

    surface = Surface("hill", lambda p: -p.square().sum(1), (0.5, 0.1), (-9.0, 9.0, -9.0, 9.0))
    race = run_race(surface, {"up": Backwards}, num_steps=9, rates=[0.1])
    assert race.tracks[0].values[-1] > race.tracks[0].values[0]
    assert race.lowest == race.tracks[0].values[0]
    draw_html([race], tmp_path / "hill.html")
    draw_png([race], tmp_path / "hill.png")


def test_answers_of_averaging_optimisers_are_shown():
    makers = {"asgd": lambda params, lr: OPTIMISERS["asgd"](params, lr=lr, t0=0)}
    race = run_race(ravine(), makers, num_steps=3, rates=[0.01])
    plain = run_race(ravine(), {"gd": OPTIMISERS["gradient_descent"]}, num_steps=3, rates=[0.01])
    mean = np.mean(plain.tracks[0].points[1:], axis=0)
    assert race.tracks[0].points[-1] == pytest.approx(tuple(mean))


def test_nothing_to_run_is_told(tmp_path):
    with pytest.raises(ConfigError, match="needs an optimiser"):
        run_race(ravine(), {})
    for draw in (draw_png, draw_html):
        with pytest.raises(ConfigError, match="no race to draw"):
            draw([], tmp_path / "none")


def test_pictures_hold_something(race, tmp_path):
    draw_png([race], tmp_path / "one.png")
    draw_png([race, race], tmp_path / "two.png")
    sizes = []
    for name in ("one.png", "two.png"):
        with Image.open(tmp_path / name) as image:
            pixels = np.asarray(image.convert("RGB"))
            sizes.append(image.size)
        # The colour of the first track ("adam") is there.
        assert (np.abs(pixels.astype(int) - (0xD6, 0x27, 0x28)).max(-1) < 12).sum() > 50
    assert sizes[0] != sizes[1]


def test_gif_moves_and_keeps_the_colours(race, tmp_path):
    draw_gif(race, tmp_path / "race.gif", num_frames=3)
    with Image.open(tmp_path / "race.gif") as image:
        assert image.n_frames == 4
        first = np.asarray(image.convert("RGB"))
        image.seek(3)
        last = np.asarray(image.convert("RGB")).astype(int)
    assert (first != last).any()
    assert (np.abs(last - (0xD6, 0x27, 0x28)).max(-1) < 12).sum() > 50


def test_page_holds_the_race_and_asks_nobody_for_anything(race, tmp_path):
    odd = run_race(ravine(), {"</script>": OPTIMISERS["sgd"]}, num_steps=4)
    draw_html([race, odd], tmp_path / "race.html")
    page = (tmp_path / "race.html").read_text("utf-8")
    assert not re.search(r"(src|href)\s*=|https?://|@import|url\(", page)
    assert page.count("</script>") == 1
    data = json.loads(re.search(r"const data = (.*);\n", page)[1])
    assert [one["name"] for one in data["races"]] == ["ravine", "ravine"]
    shown = data["races"][0]["tracks"][0]
    assert shown["points"][-1] == pytest.approx(race.tracks[0].points[-1], abs=1e-4)
    assert set(data["colours"]) == {"sgd", "adam", "</script>"}
