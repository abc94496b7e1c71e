"""A plan that grows choice by choice, each with its reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from striate.settings import Settings, merge, nested, setting_at
from striate.tasks import Setting


@dataclass(frozen=True)
class Decision:
    """One decision: what, which value, why."""

    what: str
    value: str
    why: str


@dataclass
class Draft:
    """A plan that grows choice by choice; a person's settings always win."""

    settings: Settings
    """Settings of a person, nested."""
    preferred: Mapping[str, Setting] = field(default_factory=dict)
    """Settings that the task prefers, by dotted path."""
    unsuited: Sequence[str] = ()
    """Augmentations that do not suit the task."""
    plan: Settings = field(default_factory=dict)
    choices: list[Decision] = field(default_factory=list)

    def wanted(self, path: str) -> Any:
        """The person's setting under a dotted path, completed by what the task prefers; or None."""
        own = setting_at(self.settings, path)
        if path not in self.preferred:
            return own
        preferred = self.preferred[path].value
        return preferred if own is None else merge({path: preferred}, {path: own})[path]

    def planned(self, path: str) -> Any:
        """The value decided so far under a dotted path; None where there is none."""
        return setting_at(self.plan, path)

    def decide(self, path: str, what: str, value: Any, why: str, shown: str | None = None) -> Any:
        """Propose a value; the value that holds comes back."""
        self.fill(path, value)
        held = self.planned(path)
        if setting_at(self.settings, path) is not None:
            self.note(what, show(held), "as asked")
        elif path in self.preferred:
            setting = self.preferred[path]
            self.note(setting.what, setting.shown, setting.why)
        else:
            self.note(what, shown or show(held), why)
        return held

    def note(self, what: str, value: str, why: str) -> None:
        """A line of the plan that sets nothing."""
        self.choices.append(Decision(what, value, why))

    def fill(self, path: str, value: Any) -> None:
        """Propose a value without a line of its own in the plan."""
        for proposed in (value, self.wanted(path)):
            if proposed is not None:
                self.plan = merge(self.plan, nested(path, proposed))


def show(value: Any) -> str:
    """A setting as words."""
    if isinstance(value, dict):
        inner = ", ".join(f"{k}={v}" for k, v in value.items() if k != "name")
        return f"{value.get('name', '')} {inner}".strip()
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return ", ".join(show(item) for item in value)
    return " × ".join(map(str, value)) if isinstance(value, list) else str(value)
