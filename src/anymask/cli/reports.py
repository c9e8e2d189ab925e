"""What a command says: lines for people, or JSON with one object per line; errors in one line, never a traceback."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

EXIT_SOME_FAILED = 1
EXIT_NOT_STARTED = 2


class OneLineErrors(TyperGroup):
    """A group of commands that reports wrong usage in one line too."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Runs a command and exits; see Typer."""
        try:
            code = super().main(*args, **{**kwargs, "standalone_mode": False})
        except Exception as error:
            if not hasattr(error, "format_message"):  # Typer's own errors have it, and no common public base
                raise
            message = error.format_message()
            # A command without arguments raises its help, which Rich has printed already.
            if message:
                context = getattr(error, "ctx", None)
                command = context.command_path if context else "anymask"
                typer.echo(f"anymask: {one_line(message).rstrip('.')}; see {command} --help", err=True)
            code = getattr(error, "exit_code", EXIT_NOT_STARTED)
        sys.exit(code or 0)


@contextmanager
def errors_reported(as_json: bool) -> Iterator[None]:
    """Ends the command with exit code 2 and a line where something is wrong that it cannot start without."""
    try:
        with _tidy_when_terminated():
            yield
    except (typer.Exit, BrokenPipeError):  # a RuntimeError and an OSError, which Typer knows what to do with
        raise
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        message = one_line(error)
        if as_json:
            say_json({"error": message})
        else:
            typer.echo(f"anymask: {message}", err=True)
        raise typer.Exit(EXIT_NOT_STARTED) from None


@contextmanager
def _tidy_when_terminated() -> Iterator[None]:
    """Lets a command that is told to end (SIGTERM) remove what it has half written, as it does after Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: object) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def say_json(document: dict[str, Any]) -> None:
    """Prints one object in one line."""
    typer.echo(json.dumps(document))


def one_line(error: BaseException | str) -> str:
    """The message of an error without line breaks; its kind where it has none."""
    return " ".join(str(error).split()) or type(error).__name__
