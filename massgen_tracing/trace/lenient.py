"""Nothing that a caller passes makes the facade raise: arguments that do not fit a method are made to fit, and counted."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter
from typing import Any, Final, TypeVar

from massgen_tracing import guard
from massgen_tracing.errors import UsageError
from massgen_tracing.trace import arguments

T = TypeVar("T", bound=type)
F = TypeVar("F", bound=Callable[..., Any])

_BY_PLACE: Final = frozenset({Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD})
_ALIKE: Final = 0.8
"""How much alike a keyword and the argument that was meant are: `modle` and `model` just so."""

_LONGEST: Final = 40
"""Characters of a keyword that may be a misspelt argument."""

_BY_NAME: Final = frozenset({Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY})


def lenient(kind: T) -> T:
    """Have every public method of a class take whatever it is called with.

    Positional arguments too many and keywords that nothing takes are left out, those that are missing are None; an argument that is given twice is an
    attribute of that name. Each is a counted warning, and an error in strict mode.
    """
    for name, member in list(vars(kind).items()):
        if inspect.isfunction(member) and not name.startswith("_"):
            setattr(kind, name, takes_anything(member))
    return kind


def takes_anything(method: F, misuse: Callable[[str, str, str], None] | None = None) -> F:
    """The same for one method.

    Args:
        method: the method, or a function.
        misuse: what is told of arguments that do not fit, as `SpanFactory.misuse`; None: that of the method's owner.
    """
    own = 1 if misuse is None else 0
    """How many arguments are not the caller's."""
    names = _names_beside_more(method) if own else frozenset()

    @functools.wraps(method)
    def called(*args: Any, **options: Any) -> Any:
        try:
            if names and not names.issuperset(options):
                _tell_misspelt(method.__name__, names, options, args[0]._spans.misuse)  # noqa: SLF001 - every owner has it
            return method(*args, **options)
        except UsageError:  # strict
            raise
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
            guard.passing(error)
            if isinstance(error, TypeError) and error.__traceback__ is not None and error.__traceback__.tb_next is None:  # they do not fit
                args, options, wrong = _fitted(method, args, options)
                if wrong:
                    problem = f"arguments.{method.__name__}", f"{method.__name__}() was called with {wrong}", _shown(method)
                    (misuse or args[0]._spans.misuse)(*problem)  # noqa: SLF001 - every owner has it
            else:
                guard.swallow(method.__name__, error)
                args, options, _ = _fitted(method, args[:own], {})
        try:
            return method(*args, **options)
        except UsageError:
            raise
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the run
            guard.swallow(method.__name__, error)
            return None

    return called  # type: ignore[return-value]


def function_takes_anything(misuse: Callable[[str, str, str], None]) -> Callable[[F], F]:
    """The same for a function of the facade.

    Args:
        misuse: is told of arguments that do not fit: a short stable name, what is wrong, and what was expected.
    """
    return lambda function: takes_anything(function, misuse)


def _fitted(method: Callable[..., Any], args: tuple[Any, ...], options: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any], str]:
    """The arguments as far as the method takes them, with None for the rest of what it asks for; and what was wrong, in words."""
    parameters = list(inspect.signature(method).parameters.values())
    places = [each for each in parameters if each.kind in _BY_PLACE]
    names = {each.name for each in parameters if each.kind in _BY_NAME}
    takes_more = any(each.kind is Parameter.VAR_KEYWORD for each in parameters)
    placed = {each.name for each in places[: len(args)]}
    fitting: dict[str, Any] = {}
    twice: dict[str, Any] = {}
    wrong = [f"{len(args) - len(places)} too many by place"] if len(args) > len(places) else []
    for name, value in options.items():
        if name in placed and name in names:
            twice[name] = value
        elif name in names or takes_more:
            fitting[name] = value
        else:
            wrong.append(f"an unknown {name}")
    if "attributes" in names - placed:
        fitting["attributes"] = {**twice, **_attributes(fitting.get("attributes"))}
    else:
        wrong += [f"{name} twice" for name in twice]
    args = args[: len(places)]
    for each in parameters:
        if each.default is not each.empty or each.kind not in _BY_PLACE | _BY_NAME or each.name in placed:
            continue
        if each.name not in fitting:
            wrong.append(f"no {each.name}")
        if each.kind is Parameter.POSITIONAL_ONLY:
            args = (*args, fitting.pop(each.name, None))
        else:
            fitting.setdefault(each.name, None)
    return args, fitting, ", ".join(wrong)


def _names_beside_more(method: Callable[..., Any]) -> frozenset[str]:
    """The names of a method's arguments, where it takes other keywords too, as attributes; empty where it does not."""
    code = method.__code__
    if not code.co_flags & inspect.CO_VARKEYWORDS:
        return frozenset()
    return frozenset(code.co_varnames[max(code.co_posonlyargcount, 1) : code.co_argcount + code.co_kwonlyargcount])


def _tell_misspelt(method: str, names: frozenset[str], options: Iterable[str], misuse: Callable[..., None]) -> None:
    """Tell of keywords that are attributes by what they are, and arguments by what they look like."""
    for name in options:
        if name not in names and (near := _near(name, names)):
            hint = f"Did you mean {near}? An attribute of that name can be in attributes={{…}}" if "attributes" in names else f"Did you mean {near}?"
            misuse(
                f"keyword.{method}", f"{method}() was called with an unknown {name}", hint=hint, instead=", which becomes an attribute", about=name
            )


@functools.lru_cache(maxsize=1024)
def _near(name: str, names: frozenset[str]) -> str:
    """The one of the *names* that differs from *name* by a letter or two that were mistyped; empty for none."""
    if len(name) > _LONGEST:
        return ""
    alike = [each for each in sorted(names) if abs(len(each) - len(name)) <= 1]
    return next(iter(difflib.get_close_matches(name, alike, 1, _ALIKE)), "")


def _attributes(given: object) -> Mapping[Any, Any]:
    try:
        return arguments.attributes(given)
    except Exception as error:  # noqa: BLE001 - a stranger's object may raise anything
        guard.passing(error)
        return {"attributes": given}


def _shown(method: Callable[..., Any]) -> str:
    signature = inspect.signature(method)
    bare = [each.replace(annotation=each.empty) for each in signature.parameters.values() if each.name != "self"]
    return f"{method.__name__}{signature.replace(parameters=bare, return_annotation=signature.empty)}"
