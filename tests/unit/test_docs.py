"""Every Python block of the documentation runs, and prints what the page says it prints."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from typecheck import annotations_unchecked  # noqa: F401 - a fixture

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").glob("**/*.md"), ROOT / "README.md"])
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_run_and_print_what_they_say(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace: dict = {"__name__": "docs"}
    printed = ""
    for kind, body in BLOCK.findall(page.read_text("utf-8")):
        if kind == "python":
            stream = io.StringIO()
            with contextlib.redirect_stdout(stream):
                exec(compile(body, str(page), "exec"), namespace)
            printed = stream.getvalue()
        elif printed:
            assert printed.strip() == body.strip()
            printed = ""


CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
MATHEMATICS = re.compile("[∂Σ∏√∇ηθλμδσ∞ᵀ½β²³αε‖χ⁻]")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_mathematics_is_typeset(page):
    """Formulas stand between dollar signs, where the site typesets them."""
    assert not MATHEMATICS.findall(CODE.sub("", page.read_text("utf-8")))


def test_nothing_is_loaded_from_elsewhere():
    """Styles and scripts that the pages add name files of the site."""
    added = [*(ROOT / "docs" / "assets").glob("**/*.css"), ROOT / "docs" / "assets" / "math.js"]
    assert len(added) > 2
    for path in added:
        assert "//" not in re.sub(r"^//.*$", "", path.read_text("utf-8"), flags=re.MULTILINE)
    for line in (ROOT / "mkdocs.yml").read_text("utf-8").splitlines():
        assert not line.strip().startswith(("extra_css", "extra_javascript")) or "//" not in line
