"""What an installed package holds besides its modules."""

import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_every_file_that_is_no_module_is_packaged() -> None:
    """Setuptools takes only what its patterns name; one of a folder up is not seen from here."""
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("the package is installed without its sources")
    told = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    patterns = told["tool"]["setuptools"]["package-data"]["striate"]
    package = ROOT / "src" / "striate"
    built = {".py", ".pyc", ".so", ".pyd"}
    others = [
        path.relative_to(package)
        for path in package.rglob("*")
        if path.is_file() and path.suffix not in built and "_native" not in path.parts
    ]
    assert len(others) > 20
    # As setuptools reads them: "**" stands for any folders, none too; "*" for one name.
    missing = [
        str(path)
        for path in others
        if not any(
            fnmatch(path.name, pattern.removeprefix("**/"))
            if pattern.startswith("**/")
            else path.match(pattern) and len(path.parts) == pattern.count("/") + 1
            for pattern in patterns
        )
    ]
    assert missing == []
