"""Parse the command line; an error of the parser becomes one sentence that names the help of the command."""

import contextlib
import difflib
import functools
import io
import os
import re
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.paths import user_path

Function = TypeVar("Function", bound=Callable[..., None])
COMMANDS = ("demo", "fit", "explain", "verify", "reproduce")
UNSTATED = tyro.conf.arg(help_behavior_hint="")
"""For options whose description already says what holds by default."""
_KINDS: dict[Any, tuple[str, Callable[[str], Any], str]] = {
    int: ("N", int, "a whole number"),
    float: ("X", float, "a number"),
    str: ("TEXT", str, "text"),
    Path: ("PATH", user_path, "a path"),
}
"""For each type of an option: its name in the help, the conversion of its text, and what a value must be."""
_registry = ConstructorRegistry()


def deferred(command: Function) -> Function:
    """Return a function with the same options that returns the command to be called, so that parsing ends before."""

    @functools.wraps(command)
    def parsed(*arguments, **options):
        return functools.partial(command, *arguments, **options)

    return parsed  # pyright: ignore[reportReturnType]


def parse(app: tyro.extras.SubcommandApp, arguments: Sequence[str]) -> Callable[[], None]:
    """Return the command that the arguments name, ready to be called.

    Raises:
        InputError: the arguments are not valid.
        SystemExit: help was requested and printed.
    """
    command = next((argument for argument in arguments if not argument.startswith("-")), None)
    asks_for_help = not {"-h", "--help"}.isdisjoint(arguments)
    if command not in COMMANDS and not (asks_for_help and command is None):
        problem = "give a command" if command is None else f"there is no command {command!r}"
        raise InputError(f"{problem}: choose one of {', '.join(COMMANDS)}; see pcacam --help.")
    description = "Where a CNN looked for each principal component and each SVM decision."
    options: Any = {"prog": "pcacam", "description": description, "args": arguments}
    options["config"] = (tyro.conf.FlagCreatePairsOff,)
    if asks_for_help:
        _print_help(app, options)
    printed = io.StringIO()
    with _registry, contextlib.redirect_stderr(printed), _columns("10000"):
        try:
            return app.cli(**options)
        except SystemExit as end:
            if end.code != 2 or not printed.getvalue():
                raise
    raise InputError(f"{sentence(printed.getvalue(), f'pcacam {command}')}; see pcacam {command} --help.")


def _print_help(app: tyro.extras.SubcommandApp, options: dict[str, Any]) -> None:
    """Print the help and exit; a flag is off by default, which the help need not say."""
    encoding, off = sys.stdout.encoding or "utf-8", " (default: False)"
    # tyro draws boxes as the encoding of the output allows
    printed = io.TextIOWrapper(io.BytesIO(), encoding, errors="backslashreplace", newline="")
    try:
        with _registry, contextlib.redirect_stdout(printed):
            app.cli(**options)
    finally:
        printed.seek(0)
        sys.stdout.write(printed.read().replace(off, " " * len(off)))


def sentence(box: str, command: str) -> str:
    """Return the error in a box that tyro printed as a sentence without its full stop.

    Args:
        box: what tyro printed.
        command: the command, such as ``"pcacam fit"``.
    """
    lines = [re.sub(r"^[│|] ?|\s*[│|]$", "", line) for line in box.splitlines()[1:-1]]
    end = next((i for i, line in enumerate(lines) if re.fullmatch(r"[─-]{8,}", line.strip())), len(lines))
    text = " ".join(" ".join(lines[:end]).split())
    if match := re.match(r"Error parsing ([^:]+): (.*)", text):
        option, problem = match[1].split("/")[-1], match[2].rstrip(".")
        return f"{option} {problem}" if problem.startswith("must") else f"{option}: {problem}"
    if match := re.match(r"Missing value for argument '([^']+)'", text):
        return f"{match[1].split('/')[-1]} needs a value"
    if text.startswith("Missing from"):
        names = [line.split()[0] for line in lines[:end] if re.match(r" {4}\S", line)]
        return f"{command} needs {' and '.join(names)}"
    if match := re.match(r"Unrecognized options: (.*)", text):
        return _unrecognized(match[1].split(", "), box, command)
    return text.rstrip(".")


def _unrecognized(tokens: list[str], box: str, command: str) -> str:
    options = [token for token in tokens if token.startswith("-")]
    if not options:
        return f"{command} does not take the argument {tokens[0]!r} at this place"
    names = re.findall(r"--[a-z][\w-]+", box.partition("Perhaps you meant")[2].replace("--help", ""))
    similar = difflib.get_close_matches(options[0], names, n=1, cutoff=0)
    return f"{command} has no option {options[0]}" + (f"; did you mean {similar[0]}" if similar else "")


@contextlib.contextmanager
def _columns(width: str):
    """Let tyro print boxes of this width, so that no line of an error is wrapped."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = width
    try:
        yield
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before


@_registry.primitive_rule
def _option(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    """Describe whole numbers, numbers, texts and paths, alternatives of them, and sequences of any length."""
    kind: Any = info.type
    several = get_origin(kind) is tuple and get_args(kind)[1:] == (Ellipsis,)
    kind = get_args(kind)[0] if several else kind
    alternatives = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    kinds = [alternative for alternative in alternatives if alternative is not type(None)]
    if not kinds or not all(kind in _KINDS for kind in kinds):
        return None
    name = " or ".join(_KINDS[kind][0] for kind in kinds)
    return PrimitiveConstructorSpec(
        nargs="*" if several else 1,
        metavar=f"{name} ..." if several else name,
        instance_from_str=lambda texts: (
            tuple(_converted(text, kinds) for text in texts) if several else _converted(texts[0], kinds)
        ),
        is_instance=lambda value: True,
        str_from_instance=lambda value: (
            [str(item) for item in value] if several else ["none" if value is None else str(value)]
        ),
    )


def _converted(text: str, kinds: list[Any]) -> Any:
    for kind in kinds:
        with contextlib.suppress(ValueError):
            return _KINDS[kind][1](text)
    if kinds == [Path]:
        return user_path(text)
    raise ValueError(f"must be {' or '.join(_KINDS[kind][2] for kind in kinds)}; got {text!r}.")
