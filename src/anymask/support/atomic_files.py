"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


def write_whole(path: str | os.PathLike[str], write: Callable[[BinaryIO], Any]) -> None:
    """Write a file that appears complete or not at all, and leave nothing else behind.

    `write` fills a temporary file in the same folder, which then takes the place of `path` in one step, so that a
    reader, a full disk or a killed run never meets half a file.

    What is killed without notice (`kill -9`, a power cut) leaves the temporary one, hidden and named `.NAME.*.part`. No
    later write looks for it: each would have to list the folder, which costs a run of a hundred thousand results more
    than their writing, and whether its writer is dead cannot be known where machines share a folder. `EmbeddingCache`,
    which lists its folder anyway, removes those that are older than any write takes.

    Raises:
        OSError: If it cannot be written there; the message names the path that was asked for, not the temporary one.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
        _write_beside(path, write)
    except (OSError, RuntimeError) as error:
        cause = _os_error(error)
        if cause is None:
            raise
        reason = "there is no such folder" if not path.parent.is_dir() else cause.strerror or cause
        raise type(cause)(f"{path} must be a file that can be written, but: {reason}. Nothing was written.") from error


def write_json(path: str | os.PathLike[str], document: Any, indent: int | None = 2) -> None:
    """Write a document as JSON, as `write_whole` does.

    Args:
        path: Of the file.
        document: What JSON can hold, and numbers and arrays of NumPy and torch, which become plain ones.
        indent: Spaces of each level, for people to read it too; None puts all in one line.

    Raises:
        OSError: If it cannot be written there.
        TypeError: If the document holds something else.
    """
    text = json.dumps(document, indent=indent, default=as_plain_value) + "\n"
    write_whole(path, lambda file: file.write(text.encode()))


def as_plain_value(value: Any) -> Any:
    """A number or list for one of NumPy or torch: `json.dumps` calls it with what it does not know itself.

    Raises:
        TypeError: If it is something else.
    """
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"What is written as JSON must be plain values or arrays, got {type(value).__name__}.")


def _os_error(error: BaseException | None) -> OSError | None:
    """What the system said: torch reports a file that it cannot write to by an error of its own."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


def _write_beside(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=_prefix(path), suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp keeps others out; a result is an ordinary file
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


@contextmanager
def whole_folder(path: Path, is_own: Callable[[str], bool] = lambda name: False) -> Iterator[Path]:
    """Give a temporary folder beside `path`, which takes the place of `path` if what is done with it succeeds.

    Several writers of one folder do not disturb each other: the last one's is there in the end.

    Args:
        path: Of the folder.
        is_own: Tells by its name which file of a folder that is there already is a result of an earlier run, and goes
            with it; others are kept, unless a new one has their name.

    Raises:
        OSError: If the folder cannot be made.
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=path.parent, prefix=_prefix(path), suffix=".part"))
    try:
        yield unfinished
        os.chmod(unfinished, 0o777 & ~_umask())  # mkdtemp keeps others out
        _take_the_place(unfinished, path, is_own)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


SETTINGS = "settings.json"


def keep_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write settings into the folder of a run that is done in pieces, or check them against those that are there.

    What the pieces follow from then lies beside them, and those of another run are not mixed with them.

    Args:
        folder: Made if it is not there.
        settings: What JSON can hold.

    Raises:
        ValueError: If the folder is another run's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SETTINGS
    wanted = json.loads(json.dumps(settings))
    if not path.exists():
        write_json(path, wanted, indent=1)
    found = json.loads(path.read_text(encoding="utf-8"))
    changed = _changed(found, wanted)
    if changed:
        raise ValueError(
            f"{folder} must be of a run with these settings, but was made with another {', '.join(changed)}; pass "
            f"another folder, or the settings in {path}."
        )


def check_work_folder(folder: Path) -> None:
    """Refuse a folder for what a run has done so far that is there and no run's: it is removed when the run ends.

    Args:
        folder: Of an earlier run, empty, or not there.

    Raises:
        FileExistsError: If there is something else.
    """
    if (
        os.path.lexists(folder)
        and not (folder / SETTINGS).is_file()
        and not (folder.is_dir() and not os.listdir(folder))
    ):
        raise FileExistsError(
            f"{folder} must be free for what is done until the results are written, but there is something else; "
            "name the output otherwise, or move it."
        )


def _changed(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Names of what differs, in order; those of an inner mapping as "options.points_per_side"."""
    names = []
    for name in sorted({*found, *wanted}):
        before, now = found.get(name), wanted.get(name)
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            names += [f"{name}.{inner}" for inner in _changed(before, now)]
        elif before != now:
            names.append(name)
    return names


def _take_the_place(new: Path, path: Path, is_own: Callable[[str], bool]) -> None:
    while True:
        try:
            new.rename(path)
            return
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        # A folder with files in it is not replaced in one step: it steps aside.
        aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=_prefix(path), suffix=".part"))
        try:
            path.rename(aside / "before")
            for kept in sorted((aside / "before").iterdir()):
                if not is_own(kept.name) and not (new / kept.name).exists():
                    kept.rename(new / kept.name)
        except FileNotFoundError:
            continue  # another writer has just moved it
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _umask() -> int:
    """The mask of permissions for new files, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _prefix(path: Path) -> str:
    """What an unfinished file begins with: its name as far as there is room, since names end at 255 bytes."""
    return f".{path.name[:50]}."
