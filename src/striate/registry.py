"""Explicit tables from a name to a constructor, and names with arguments (`Pick`) bound to them.

The constructor's signature is the single source of truth: a `Pick` is checked against it
before any data or device is touched, and every problem is reported, not only the first.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType, NoneType, UnionType
from typing import Any, Generic, Literal, TypeVar, Union, get_args, get_origin

from striate.errors import ConfigError, did_you_mean, unknown_name

T = TypeVar("T")


class Pick:
    """A name from a registry with keyword arguments: `Pick("resnet", depth=20)`.

    Immutable and comparable by value; `to_json` gives `{"name": "resnet", "depth": 20}`.
    """

    __slots__ = ("arguments", "name")
    name: str
    arguments: dict[str, Any]

    def __init__(self, name: str, /, **arguments: Any) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "arguments", arguments)

    def __setattr__(self, attribute: str, value: object) -> None:
        raise AttributeError(f"a Pick is immutable; write Pick({self.name!r}, {attribute}=...)")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pick) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash((self.name, repr(sorted(self.arguments.items()))))

    def __reduce__(self) -> tuple[Any, ...]:
        return Pick.from_json, (self.to_json(),)

    def __repr__(self) -> str:
        arguments = "".join(f", {key}={value!r}" for key, value in self.arguments.items())
        return f"Pick({self.name!r}{arguments})"

    def __str__(self) -> str:
        arguments = ", ".join(f"{key}={value}" for key, value in self.arguments.items())
        return f"{self.name}({arguments})" if arguments else self.name

    def replace(self, **arguments: Any) -> "Pick":
        """A copy of this pick with some arguments changed."""
        return Pick(self.name, **{**self.arguments, **arguments})

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, **self.arguments}

    @classmethod
    def from_json(cls, value: Any) -> "Pick":
        """A Pick from its JSON form, or from a bare name.

        Raises:
            ConfigError: neither a name nor a group with one.
        """
        if isinstance(value, Pick):
            return value
        if isinstance(value, str):
            return cls(value)
        arguments = dict(value) if isinstance(value, Mapping) else {}
        name = arguments.pop("name", None)
        if not isinstance(name, str):
            raise ConfigError(f'A choice needs a "name"; what came is {value!r}.')
        return cls(name, **arguments)


class Registry(Generic[T]):
    """A table of constructors (or functions) of one kind, in a fixed order.

    Args:
        kind: Singular noun for messages ("network").
        entries: Constructors by name. Each one's docstring begins with what it makes.
    """

    def __init__(self, kind: str, entries: Mapping[str, Callable[..., T]]) -> None:
        self.kind = kind
        self._entries: dict[str, Callable[..., T]] = dict(entries)

    def register(self, name: str, constructor: Callable[..., T]) -> None:
        """Add one's own constructor; a name that is taken is refused."""
        if name in self._entries:
            raise ConfigError(f"A {self.kind} named {name!r} is registered already.")
        self._entries[name] = constructor

    def __getitem__(self, name: str) -> Callable[..., T]:
        if name not in self._entries:
            raise ConfigError(unknown_name(self.kind, name, self._entries))
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def describe(self, name: str) -> str:
        """The first line of the constructor's docstring."""
        lines = (inspect.getdoc(self[name]) or "").splitlines()
        return lines[0].strip() if lines else ""

    def parameters(self, name: str) -> dict[str, inspect.Parameter]:
        """The parameters of the constructor that a Pick may set by keyword."""
        signature = inspect.signature(self[name])
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        return {key: p for key, p in signature.parameters.items() if p.kind in kinds}

    def problems(self, pick: Pick, offered: tuple[str, ...] = ()) -> list[str]:
        """Problems of a Pick, as sentences; empty when it can be built.

        Args:
            pick: Choice to check.
            offered: Names of the arguments that the caller of `build` supplies itself.
        """
        if pick.name not in self._entries:
            return [unknown_name(self.kind, pick.name, self._entries)]
        accepted = self.parameters(pick.name)
        free = [name for name in accepted if name not in offered]
        what = f"{self.kind} {pick.name!r}"
        problems = []
        for name, value in pick.arguments.items():
            if name in offered:
                problems.append(f"{what}: {name!r} follows from the data; leave it out.")
            elif name not in accepted:
                accepts = f"{did_you_mean(name, free)} Accepted: {', '.join(free) or 'none'}."
                problems.append(f"{what} has no argument {name!r}.{accepts}")
            elif not _fits(accepted[name].annotation, value):
                problems.append(
                    f"{what}: {name}={value!r} does not fit; "
                    f"accepted: {spell_type(accepted[name].annotation)}."
                )
        for name, parameter in accepted.items():
            required = parameter.default is inspect.Parameter.empty
            if required and name not in offered and name not in pick.arguments:
                problems.append(f"{what} needs the argument {name!r}.")
        return problems

    def _check(self, pick: Pick, offered: tuple[str, ...]) -> None:
        problems = self.problems(pick, offered)
        if problems:
            raise ConfigError(problems)

    def _typed(self, pick: Pick) -> dict[str, Any]:
        """The Pick's arguments, with tuples where the constructor takes them and JSON has lists."""
        accepted = self.parameters(pick.name)
        return {
            name: tuple(value)
            if isinstance(value, list)
            and any(get_origin(t) is tuple for t in _members(accepted[name].annotation))
            else value
            for name, value in pick.arguments.items()
        }

    def build(self, pick: Pick, *positional: Any, **offered: Any) -> T:
        """Call the constructor with the Pick's arguments.

        Args:
            pick: Choice.
            positional: Values passed first, as they are (parameters for an optimiser, say).
            offered: Values from the context; the constructor takes those that it names.

        Raises:
            ConfigError: all problems of the Pick together.
        """
        constructor = self[pick.name]
        accepted = self.parameters(pick.name)
        filled = tuple(accepted)[: len(positional)]
        self._check(pick, (*filled, *offered))
        taken = {name: value for name, value in offered.items() if name in accepted}
        return constructor(*positional, **taken, **self._typed(pick))

    def bind(self, pick: Pick, offered: tuple[str, ...]) -> Callable[..., T]:
        """The function with the Pick's arguments filled in; the caller passes `offered` later.

        Raises:
            ConfigError: all problems of the Pick together.
        """
        function = self[pick.name]
        self._check(pick, offered)
        return functools.partial(function, **self._typed(pick))


def functions_giving(kind: Any, *modules: ModuleType) -> dict[str, Callable[..., Any]]:
    """The public functions of modules that are annotated to return a type, by name, in order."""
    return {
        name: function
        for module in modules
        for name, function in vars(module).items()
        if inspect.isfunction(function) and function.__module__ == module.__name__
        if not name.startswith("_") and inspect.get_annotations(function)["return"] is kind
    }


_PLAIN = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    NoneType: "null",
}


def _members(annotation: Any) -> tuple[Any, ...]:
    """The types of a union, or the one type."""
    is_union = get_origin(annotation) in (Union, UnionType)
    return get_args(annotation) if is_union else (annotation,)


def _fits(annotation: Any, value: Any) -> bool:
    """Whether a value may be of an annotated type; only plain types can say no."""
    members = _members(annotation)
    if not all(member in _PLAIN for member in members):
        return True
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return type(value) in members
    if isinstance(value, int):
        return int in members or float in members
    return isinstance(value, float) and float in members


def spell_type(kind: Any) -> str:
    """The words for an annotated type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if origin is tuple:
        inner = "choices with a name" if arguments[0] is Pick else spell_type(arguments[0])
        count = "a list of" if arguments[-1] is Ellipsis else f"a list of {len(arguments)}, each"
        return f"{count} {inner}"
    if origin in (Union, UnionType):
        return " or ".join(map(spell_type, arguments))
    if origin is Mapping:
        return f"a group of {spell_type(arguments[1])} by name"
    return _PLAIN.get(kind, getattr(kind, "__name__", str(kind)))
