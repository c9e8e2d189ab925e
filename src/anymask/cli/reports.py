"""What a command says: lines for people, or JSON with one object per line; errors in one line, never a traceback."""

from __future__ import annotations

import contextlib
import errno
import json
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from ..support.streams import write_to_nothing

EXIT_SOME_FAILED = 1
EXIT_NOT_STARTED = 2

_EXPECTED = (ImportError, OSError, RuntimeError, TypeError, ValueError)


class OneLineErrors(TyperGroup):
    """A group of commands that reports wrong usage in one line too, and output that cannot be written."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command and exit; see Typer."""
        given = kwargs.get("args") or (args[0] if args else None)
        as_json = "--json" in (sys.argv[1:] if given is None else given)
        try:
            code = super().main(*args, **{**kwargs, "standalone_mode": False})
            sys.stdout.flush()
        except OSError as error:  # of writing what the command says: nothing else comes to here
            code = _report(error, as_json)
        except Exception as error:
            if not hasattr(error, "format_message"):  # Typer's own errors have it, and no common public base
                raise
            message = error.format_message()
            # A command without arguments raises its help, which Rich has printed already.
            if message:
                context = getattr(error, "ctx", None)
                command = context.command_path if context else "anymask"
                _say_error(f"{one_line(message).rstrip('.')}; see {command} --help", as_json)
            code = getattr(error, "exit_code", EXIT_NOT_STARTED)
        sys.exit(code or 0)


@contextmanager
def errors_reported(as_json: bool) -> Iterator[None]:
    """End the command with exit code 2 and a line where something is wrong that it cannot go on without."""
    try:
        with _tidy_when_told_to_end(), _warnings_in_one_line():
            yield
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        raise typer.Exit(_report(error, as_json)) from None


def is_disk_full(error: BaseException) -> bool:
    """Say whether an error, or what led to it, is that there is no room to write."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def say_json(document: dict[str, Any]) -> None:
    """Print one object in one line."""
    typer.echo(json.dumps(document))


def one_line(error: BaseException | str) -> str:
    """Give the message of an error without line breaks; its kind where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def _report(error: Exception, as_json: bool) -> int:
    """Say what is wrong and return the exit code."""
    unexpected = "" if isinstance(error, _EXPECTED) else f"{type(error).__name__}: "
    _say_error(unexpected + one_line(error), as_json)
    return EXIT_NOT_STARTED


def _say_error(message: str, as_json: bool) -> None:
    if as_json:
        try:
            say_json({"error": message})
            return
        except OSError:  # where standard output is what cannot be written
            write_to_nothing(sys.stdout)
    with contextlib.suppress(OSError):
        typer.echo(f"anymask: {message}", err=True)
    try:
        sys.stdout.flush()
    except OSError:
        write_to_nothing(sys.stdout)


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Print warnings without the line of source that made them."""

    def show(message: Warning | str, *about: object, **options: object) -> None:
        typer.echo(f"anymask: {one_line(str(message))}", err=True)

    before, warnings.showwarning = warnings.showwarning, show
    try:
        yield
    finally:
        warnings.showwarning = before


@contextmanager
def _tidy_when_told_to_end() -> Iterator[None]:
    """Let a command that is told to end, by Ctrl-C or SIGTERM, remove what it has half written."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: object) -> None:
        sys.exit(128 + number)

    numbers = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
