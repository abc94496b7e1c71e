import base64
import io
import json
import re
from html.parser import HTMLParser

import jinja2
import numpy as np
import pytest
from markupsafe import escape
from PIL import Image

from striate import durable
from striate.evaluation import (
    Columns,
    Metric,
    Scores,
    abstention,
    data_uri,
    measure,
    mistakes,
    risk_coverage,
)
from striate.evaluation import report as frame
from striate.evaluation.classification.report import render, write
from striate.evaluation.report import Headline, Section

VOID = {"meta", "img", "br", "link", "input"}
EVIL = "<script>alert('x')</script>"


class Page(HTMLParser):
    """Tags with attributes in order, the visible text, and whether every tag is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.text += data

    def words(self) -> str:
        return re.sub(r"\s+", " ", self.text.replace("\xa0", " "))


def report_of(num_classes: int = 3, *, opened: bool = True, seed: int = 0):
    chance = np.random.default_rng(seed)
    names = [EVIL, *(f"class {k}" for k in range(1, num_classes))]
    target = chance.integers(num_classes, size=90)
    p = chance.dirichlet(np.full(num_classes, 0.3), size=90)
    p[np.arange(90), target] += 1
    p /= p.sum(axis=1, keepdims=True)
    p[:20] = np.roll(p[:20], 1, axis=1)
    measures = measure(p, target, names).to_json()
    uri = data_uri(chance.integers(256, size=(5, 4, 3), dtype=np.uint8))
    found = [
        {
            "image": uri,
            "name": f"{EVIL}/{item.index}.png",
            "truth": names[item.truth],
            "answer": names[item.answer],
            "confidence": item.confidence,
            "truth_probability": item.truth_probability,
        }
        for item in mistakes(p, target, limit=3)
    ]
    test = {
        "measures": measures,
        "opening": {"number": 3, "time": "2026-03-01T10:00:00+00:00"},
        "ledger": [
            {"number": 1, "time": "t1", "run": "f00d", "version": "0.1", "result": None},
            {"number": 3, "time": "t3", "run": "beef", "version": "0.1", "result": {"error": 0.25}},
        ],
        "findings": [],
    }
    return {
        "title": f"Title {EVIL}",
        "run": {
            "hash": "beef",
            "folder": "runs/beef",
            "created": "2026-03-01",
            "seconds": 312.0,
            "config": {"data": {"source": EVIL}},
            "choices": [{"what": "network", "value": "resnet", "why": EVIL}],
            "versions": {"torch": "2"},
            "hardware": {"cores": 2},
            "status": "finished",
            "warnings": [],
        },
        "data": {
            "licence": None,
            "leaks": {"num_test": 0},
            "digest": None,
            "test_origin": None,
            "test_openings": 0,
            "title": EVIL,
            "source": "photos/",
            "class_names": names,
            "counts": {
                "train": [1200] * num_classes,
                "validation": [3] * num_classes,
                "test": 90,
            },
            "input_size": [5, 4],
            "channels": 3,
            "examples": [{"class": names[0], "images": [uri, uri]}],
            "notes": [EVIL],
            "broken": [{"name": EVIL, "reason": "is not an image"}],
        },
        "network": {"name": "resnet", "parameters": 272474, "text": EVIL},
        "curves": {
            "train": [[0, 2.3], [50, 0.4]],
            "validation": [[25, 1.2, 0.4, 0.3, 0.5], [50, 0.6, 0.2, 0.1, 0.3]],
            "lr": [[0, 0.1], [50, 0.0]],
            "unit": "step",
        },
        "validation": measures,
        "test": test if opened else None,
        "notes": [],
        "mistakes": found,
        "confident_mistakes": found,
    }


def test_the_page_is_whole_and_says_the_headline_in_words():
    page = Page(render(report_of()))
    assert page.open == []
    words = page.words()
    error = report_of()["test"]["measures"]["error"]
    assert f"The test error is {100 * error['value']:.1f} %, with a 95 % interval from" in words
    assert f"{error['count']} of 90 test images were predicted wrongly" in words
    assert "opening 3 of this test split" in words
    assert "5 min 12 s" in words
    assert "272,474 parameters" in words
    assert "25.0 %" in words


def test_nothing_is_loaded_from_elsewhere():
    html = render(report_of())
    for tag, attributes in Page(html).tags:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        for key in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
            assert (attributes.get(key) or "data:").startswith("data:")
    assert not re.search(r"@import|url\(|https?:|fetch\(|import\(", html)


def test_every_name_is_escaped():
    html = render(report_of())
    assert EVIL not in html
    page = Page(html)
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert page.text.count(EVIL) >= 12


def test_a_sealed_test_split_is_said_to_be_sealed():
    page = Page(render(report_of(opened=False)))
    assert "The validation error is" in page.words()
    assert "The test split is sealed still" in page.words()
    assert "Openings of the test split" not in page.words()


@pytest.mark.parametrize(("times", "said"), [(1, "1 time so far"), (12, "12 times so far")])
def test_a_test_split_that_other_runs_opened_is_not_said_to_be_sealed(times, said):
    report = report_of(opened=False)
    report["data"]["test_openings"] = times
    words = Page(render(report)).words()
    assert f"it was opened {said}, by other runs; striate evaluate opens it" in words
    assert "sealed still" not in words


def test_warnings_of_the_training_are_shown_as_a_note_above_all_else():
    report = report_of()
    assert "Messages of the training" not in Page(render(report)).words()
    report["run"]["warnings"] = ["The loss was not finite at step 7.", EVIL]
    html = render(report)
    page = Page(html)
    assert ("div", {"class": "note", "role": "note"}) in page.tags
    words = page.words()
    place = words.index("Messages of the training: The loss was not finite at step 7.")
    assert place < words.index("What it learned")
    assert EVIL not in html


@pytest.mark.parametrize("origin", ["official", "held out"])
def test_the_origin_of_the_test_split_and_the_choices_are_told(origin):
    report = report_of()
    assert "90 to test (" not in Page(render(report)).words()
    report["data"]["test_origin"] = origin
    words = Page(render(report)).words()
    assert f"90 to test ({origin})" in words
    assert "What was chosen, and why" in words
    assert f"networkresnet{EVIL}" in words


def test_an_altered_ledger_is_said_at_the_top():
    report = report_of()
    assert "was altered" not in render(report)
    report["test"]["findings"] = [f"Line 2 was edited {EVIL}."]
    words = Page(render(report)).words()
    assert words.index("ledger of test openings was altered") < words.index("What it learned")
    assert "Line 2 was edited" in words


def test_an_unfinished_training_is_said():
    report = report_of()
    report["run"]["status"] = "stopped at step 40 of 50"
    assert "did not run to its end: stopped at step 40 of 50" in Page(render(report)).words()


def test_a_matrix_of_few_classes_is_a_table_and_of_many_a_picture_with_pairs():
    few, many = render(report_of(30)), render(report_of(31))
    assert "Rows: the truth" in few
    assert "One dot a pair of classes" not in few
    assert "Rows: the truth" not in many
    assert "Confusion matrix of 31 classes" in many
    alt = [attrs for tag, attrs in Page(many).tags if tag == "img" and "31" in attrs["alt"]]
    encoded = base64.b64decode(alt[0]["src"].partition("base64,")[2])
    picture = np.array(Image.open(io.BytesIO(encoded)))
    right = np.eye(31, dtype=bool)
    assert np.unique(picture[right][:, :3], axis=0).tolist() == [[58, 145, 175]]
    assert np.unique(picture[~right][:, :3], axis=0).tolist() == [[217, 95, 66]]
    confusion = np.array(report_of(31)["validation"]["confusion"])
    assert ((picture[..., 3] > 0) == (confusion > 0)).all()


def test_no_mistake_is_shown_twice():
    report = report_of()
    page = render(report)
    assert "The worst mistakes" in page
    assert "The surest mistakes" not in page  # they are the same
    other = {**report["mistakes"][0], "name": "surest.png"}
    report["confident_mistakes"] = [other, *report["mistakes"]]
    page = render(report)
    assert "The surest mistakes" in page
    assert page.count("<figure>\n<img") == len(report["mistakes"]) + 1


def test_names_cannot_turn_the_direction_of_a_page():
    report = report_of()
    report["data"]["title"] = "gpj.\u202eexe\x1b"
    report["run"]["execution"] = "Runs on cpu, 1 thread(s) (exact)."
    page = render(report)
    assert "gpj.\\u202eexe\\x1b" in page
    assert page.replace("\n", "").replace("\xa0", "").isprintable()
    assert "Runs on cpu" in Page(page).words()


def test_undefined_measures_show_as_a_dash():
    report = report_of()
    names = report["data"]["class_names"]
    p = np.array([[0.8, 0.1, 0.1], [0.7, 0.2, 0.1]])
    report["validation"] = measure(p, np.array([0, 0]), names).to_json()
    report["test"] = None
    text = Page(render(report)).text
    # The shares and scores that are 0 of 0; the AUC of a single class has no row at all.
    assert text.count("–") == 6
    assert "AUC" not in text


def test_optional_parts_may_be_left_out():
    report = report_of(opened=False)
    for key in ("mistakes", "confident_mistakes"):
        del report[key]
    del report["data"]["examples"]
    report["curves"] |= {"train": [], "validation": [], "lr": []}
    words = Page(render(report)).words()
    assert "How it went" not in words
    assert "worst mistakes" not in words


def test_a_part_that_must_be_there_is_missed_at_once():
    report = report_of()
    del report["network"]["name"]
    with pytest.raises(jinja2.UndefinedError, match="name"):
        render(report)


def test_tiny_images_keep_square_pixels_and_large_ones_do_not():
    report = report_of()
    assert '<body class="tiny">' in render(report)
    report["data"]["input_size"] = [64, 160]
    assert "<body>" in render(report)


def test_files_are_written_whole_and_json_leaves_only_the_pictures_out(tmp_path):
    report = report_of()
    page = write(tmp_path, report)
    assert page == tmp_path / "report.html"
    assert page.read_text() == render(report)
    told = json.loads((tmp_path / "report.json").read_text())
    assert told["test"] == report["test"]
    assert told["data"]["examples"] == [{"class": EVIL}]
    assert "image" not in told["mistakes"][0]
    assert "base64" not in (tmp_path / "report.json").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {
        "report.html",
        "report.json",
        "digests.jsonl",
    }


def test_where_the_page_lies_the_figures_do(tmp_path, monkeypatch):
    """A process that is killed between the two has not ended its run, and is gone on with."""
    whole = durable.write_bytes

    def killed(path, content):
        if path.suffix == ".html":
            raise KeyboardInterrupt
        whole(path, content)

    monkeypatch.setattr(durable, "write_bytes", killed)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, report_of())
    assert not (tmp_path / "report.html").exists()
    assert (tmp_path / "report.json").exists()


def test_the_same_report_gives_the_same_page():
    assert render(report_of()) == render(report_of())


def test_a_loss_that_was_not_finite_leaves_a_gap_and_null(tmp_path):
    report = report_of()
    report["curves"]["train"] += [[51, float("nan")], [52, None]]
    page = write(tmp_path, report).read_text()
    assert "nan" not in "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    told = json.loads((tmp_path / "report.json").read_text())
    assert told["curves"]["train"][-2:] == [[51, None], [52, None]]


def test_calibration_abstention_reading_and_notes_are_on_the_page():
    report = report_of()
    part = {
        key: report["validation"][key]
        for key in (
            "negative_log_likelihood",
            "brier_score",
            "calibration_error",
            "calibration_by_chance",
            "reliability",
        )
    }
    report["calibration"] = {
        "method": "temperature",
        "temperature": 0.62,
        "fitted_on": 5000,
        "note": None,
        "split": "test",
        "before": part,
        "after": part,
    }
    sure = np.linspace(1, 0.3, 400)
    right = np.arange(400) < 320
    kept = abstention(sure, right, 0.05).to_json()
    share = {"value": 0.01, "count": 3, "n": 300, "low": 0.0, "high": 0.03}
    report["selective"] = {
        "split": "test",
        "n": 400,
        "curve": [point.to_json() for point in risk_coverage(sure, right)],
        "thresholds": [{**kept, "test": {"coverage": 0.75, "error": share}}],
    }
    report["test"]["reading"] = {"sentence": "Opened 3 times: read it so."}
    report["notes"] = [f"Leaks were allowed {EVIL}."]
    html = render(report)
    page = Page(html)
    words = page.words()
    assert page.open == []
    assert EVIL not in html
    assert "temperature of 0.62, which sharpens a network that was too modest" in words
    assert "Before calibration" in words
    assert html.count('class="whisker"') == 2 * sum(b["count"] > 0 for b in part["reliability"])
    assert "promised error" in words
    assert "1.00 % [0, 3.00]" in words
    assert "Opened 3 times: read it so." in words
    assert words.index("Leaks were allowed") < words.index("What it learned")


@pytest.mark.parametrize(
    ("leaks", "said"),
    [
        (None, None),
        ({"num_test": 0, "examples": []}, "No near-duplicate of a test image was found among"),
        (
            {"num_test": 2, "examples": [], "dropped": 5, "published": False},
            "5 image(s) were left out of the training because they are near-duplicates of 2 test",
        ),
        (
            {"num_test": 2, "examples": [], "dropped": 0, "published": False},
            "2 of the 90 test images have near-duplicates among the training and validation images",
        ),
    ],
)
def test_leaks_are_told_and_so_is_that_none_was_found(leaks, said):
    report = report_of()
    report["data"] |= {} if leaks is None else {"leaks": leaks}
    words = Page(render(report)).words()
    assert said is None or said in words
    assert ("No near-duplicate of a test" in words) == (said is not None and said.startswith("No"))


def test_a_loss_of_almost_no_mistakes_is_not_to_be_read():
    report = report_of()
    assert "the network’s own word" not in Page(render(report)).words()
    p = np.full((90, 3), 0.01)
    p[:, 0] = 0.98
    target = np.array([0] * 89 + [1])
    report["test"]["measures"] = measure(p, target, ["a", "b", "c"]).to_json()
    assert (
        "With 1 mistake in all, what a mistake costs is hardly known"
        in Page(render(report)).words()
    )


def test_a_task_without_classes_has_a_page_of_its_own_metrics():
    metrics = (
        Metric.mean("overlap", False, lambda rows: rows["overlap"]),
        Metric.mean("missed", True, lambda rows: rows["missed"]),
    )
    random = np.random.default_rng(0)
    rows = Columns({"overlap": random.random(40), "missed": np.arange(40) < 4})
    scores = Scores(metrics, rows)
    report = report_of()
    report["test"]["ledger"][1]["result"] = {"overlap": 0.4321, "n": 40}
    report["data"] = {**report["data"], "class_names": [], "examples": []}
    found = scores.estimates()["overlap"]
    headline = Headline("overlap", found, "Of 40 regions.", is_percent=False)
    own = Section(EVIL, escape(EVIL))
    sections = [frame.metric_section({"validation": scores}), own]
    opened = Page(frame.render(report, headline, sections)).words()
    assert "run overlap version" in opened.replace("runoverlapversion", "run overlap version")
    assert "0.4321" in opened
    report["test"] = None
    report["curves"]["validation"] = [[25, None, 0.4, 0.3, 0.5], [50, None, 0.5, 0.4, 0.6]]
    html = frame.render(report, headline, sections)
    assert "validation overlap: 0.5 [0.4, 0.6] at step 50" in html
    words = Page(html).words()
    assert f"The validation overlap is {found.value:.4f}, with a 95 % interval from" in words
    assert "Of 40 regions. No weight was fitted to them" in words
    assert f"overlap{found.value:.4f} [{found.low:.4f}, {found.high:.4f}]" in words
    assert "missed10.0 % [3.96, 23.1]" in words
    assert "classes" not in words
    assert EVIL not in html
