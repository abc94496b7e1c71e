"""A plan that grows choice by choice, each with its reason."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from striate.settings import Settings, merge
from striate.tasks import Setting


@dataclass(frozen=True)
class Decision:
    """One decision: what, which value, why."""

    what: str
    value: str
    why: str


@dataclass
class Draft:
    """A plan that grows choice by choice; what a person asked for always wins."""

    asked: Settings
    preferred: Mapping[str, Setting] = field(default_factory=dict)
    """Settings that the task prefers, by dotted path."""
    plan: Settings = field(default_factory=dict)
    choices: list[Decision] = field(default_factory=list)

    def given(self, path: str) -> Any:
        """The person's setting under a dotted path; None where there is none."""
        asked = _at(self.asked, path)
        return self.preferred[path].value if asked is None and path in self.preferred else asked

    def planned(self, path: str) -> Any:
        """The value decided so far under a dotted path; None where there is none."""
        return _at(self.plan, path)

    def decide(self, path: str, what: str, value: Any, why: str, shown: str | None = None) -> Any:
        """Propose a value; the value that holds comes back."""
        given = self.given(path)
        self.fill(path, value)
        held = self.planned(path)
        if given is not None and _at(self.asked, path) is None:
            setting = self.preferred[path]
            self.choices.append(Decision(setting.what, setting.shown, setting.why))
        elif given is None:
            self.choices.append(Decision(what, shown or show(held), why))
        else:
            self.choices.append(Decision(what, show(held), "as asked"))
        return held

    def note(self, what: str, value: str, why: str) -> None:
        """A line of the plan that sets nothing."""
        self.choices.append(Decision(what, value, why))

    def fill(self, path: str, value: Any) -> None:
        """Propose a value without a line of its own in the plan."""
        self.plan = merge(merge(self.plan, _nested(path, value)), _nested(path, self.given(path)))


def show(value: Any) -> str:
    """A setting as words."""
    if isinstance(value, dict):
        inner = ", ".join(f"{k}={v}" for k, v in value.items() if k != "name")
        return f"{value.get('name', '')} {inner}".strip()
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return ", ".join(show(item) for item in value)
    return " × ".join(map(str, value)) if isinstance(value, list) else str(value)


def _at(settings: Settings, path: str) -> Any:
    value: Any = settings
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _nested(path: str, value: Any) -> Settings:
    """{"a": {"b": value}} for "a.b"; nothing for None."""
    if value is None:
        return {}
    for key in reversed(path.split(".")):
        value = {key: value}
    nested: Settings = value
    return nested
