"""The command line: `oddframe VERB …`, one file per verb, each a thin caller of the library.

Nothing heavy is imported before a verb runs, so that `--help` comes at once. A verb is one function
`command` in its file and one row in `VERBS`.

Exit codes: 0 ok; 1 our error, one paragraph on stderr; 2 usage; 130 interrupted (Ctrl-C or
SIGTERM). `--debug`, before or after the verb, shows the traceback.
"""

from __future__ import annotations

import codecs
import contextlib
import functools
import io
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any

import typer

from oddframe import __version__, process
from oddframe.cli.options import grouped
from oddframe.errors import OddframeError, OddframeWarning

VERBS = (
    "record",
    "fit",
    "calibrate",
    "score",
    "archive",
    "archive_events",
    "evaluate",
    "evaluate_scores",
    "compare",
    "selftest",
    "export",
    "watch",
    "serve",
    "token",
    "reproduce",
    "protocols",
    "models",
    "info",
    "bench",
    "demo",
    "doctor",
)
"""Verbs, each the function `command` of oddframe.cli.VERB; `_` is written `-`."""
PAIRS = {"archive events": "archive_events"}
"""Verbs that are two words, and their names in `VERBS`."""
GROUPS = {"data": "Make a data set, or check one."}
"""Groups of verbs and their help: each the table `COMMANDS` of oddframe.cli.GROUP."""

INTERRUPTED = 130
BROKEN_PIPE = 141
"""What a shell reports of a program that SIGPIPE ended: `oddframe info m2s2l | head -1`."""


def main(args: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code.

    args: without the program's name; sys.argv[1:] by default.
    """
    process.tune()
    _write_any_name()
    words = list(sys.argv[1:] if args is None else args)
    debug = _take_debug(words)
    if " ".join(words[:2]) in PAIRS:
        words[:2] = [" ".join(words[:2])]
    try:
        with process.sigterm_as_ctrl_c():
            build_app(debug)(words, prog_name="oddframe")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        return _interrupted()
    return 0


def _write_any_name() -> None:
    """Names of files need not be UTF-8: where they are printed their bytes are, and what a terminal
    of another code page has no sign for is spelt out."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            utf8 = codecs.lookup(stream.encoding).name == "utf-8"
            stream.reconfigure(errors="surrogateescape" if utf8 else "backslashreplace")


def _take_debug(words: list[str]) -> bool:
    """Take `--debug` out of the words, wherever it stands before a bare `--`."""
    stop = words.index("--") if "--" in words else len(words)
    found = "--debug" in words[:stop]
    words[:stop] = [word for word in words[:stop] if word != "--debug"]
    return found


def build_app(debug: bool = False) -> typer.Typer:
    """All verbs as one typer app."""
    app = typer.Typer(
        help="Video anomaly detection: learns what is normal from unlabelled footage.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        epilog="--debug, anywhere, shows the traceback of an error.",
    )
    app.callback()(_root)
    typed = {verb: words for words, verb in PAIRS.items()}
    for verb in VERBS:
        command = import_module(f"oddframe.cli.{verb}").command
        app.command(typed.get(verb, verb.replace("_", "-")))(_guarded(grouped(command), debug))
    for group, text in GROUPS.items():
        part = typer.Typer(help=text, no_args_is_help=True)
        for name, command in import_module(f"oddframe.cli.{group}").COMMANDS.items():
            part.command(name)(_guarded(grouped(command), debug))
        app.add_typer(part, name=group)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        print(f"oddframe {__version__}")
        raise typer.Exit


def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    del version


def _guarded(command: Callable[..., None], debug: bool) -> Callable[..., None]:
    """The verb with its errors turned into a paragraph and an exit code."""

    @functools.wraps(command)
    def guarded(**options: Any) -> None:
        try:
            with _remarks():
                command(**options)
            sys.stdout.flush()  # a closed pipe shows here, not at the interpreter's exit
        except typer.BadParameter:  # usage: exit code 2, with the line that was to be typed
            raise
        except OddframeError as error:
            raise SystemExit(_fail(str(error), debug)) from None
        except KeyboardInterrupt:
            raise SystemExit(_interrupted()) from None
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(BROKEN_PIPE) from None
        except PermissionError as error:
            text = (
                f"{error.filename or 'A file'} may not be opened by this user "
                f"({error.strerror or 'permission denied'}). Get the right to read (or to write) "
                "it, or move it away."
            )
            raise SystemExit(_fail(text, debug)) from None
        except Exception as error:
            text = (
                f"something unexpected went wrong inside oddframe: {type(error).__name__}: "
                f"{error}. Run the command again with --debug to see where, and report it with "
                "what that prints."
            )
            raise SystemExit(_fail(text, debug)) from None

    return guarded


@contextlib.contextmanager
def _remarks() -> Iterator[None]:
    """Our own warnings as lines on stderr, each once; everybody else's as Python shows them."""
    with warnings.catch_warnings():
        shown = warnings.showwarning

        def show(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, OddframeWarning):
                print(f"warning: {message}", file=sys.stderr)
            else:
                shown(message, category, *where, **more)

        warnings.showwarning = show
        warnings.simplefilter("default", OddframeWarning)
        yield


def _fail(text: str, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"error: {text}", file=sys.stderr)
    return 1


def _interrupted() -> int:
    print("interrupted", file=sys.stderr)
    return INTERRUPTED
