"""The hub, where it cannot be reached: the hub client would try for a minute, once for each of a checkpoint's files."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

from .names import recognise_file_name

_SECONDS = 3.0


def options_for_hub(name_or_path: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of `from_pretrained`, with `local_files_only` where the hub is asked for and cannot be reached.

    What is in the cache then loads at once, and what is not is reported at once.

    Args:
        name_or_path: As `from_pretrained` takes it; what is no hub id is not looked up.
        options: As `from_pretrained` takes them.
    """
    if not isinstance(name_or_path, str) or os.path.lexists(name_or_path) or options.get("local_files_only"):
        return dict(options)
    from huggingface_hub.constants import HF_HUB_OFFLINE

    if not HF_HUB_OFFLINE and hub_answers(name_or_path, revision=options.get("revision"), token=options.get("token")):
        return dict(options)
    return {**options, "local_files_only": True}


def require_at_hand(name_or_path: Any) -> None:
    """Refuse a hub id that is not in the cache where the hub cannot be reached, before anything heavy is imported.

    Args:
        name_or_path: As `from_pretrained` takes it; what is no hub id passes.

    Raises:
        OSError: If it cannot be had; the message says how to get it.
    """
    if "local_files_only" not in options_for_hub(name_or_path, {}):
        return
    from huggingface_hub import try_to_load_from_cache

    if try_to_load_from_cache(name_or_path, "config.json") is None:
        raise OSError(how_to_get(name_or_path))


def how_to_get(hub_id: Any) -> str:
    """Say how to get a checkpoint that is not on this machine and not to be reached."""
    relative = recognise_file_name(os.fspath(hub_id))
    looks = f" By its name it is one of {relative}, another model, which anymask does not load." if relative else ""
    return (
        f"{hub_id!r} must be a folder or file, or the id of a checkpoint on the hub, but there is no such path, it is "
        f"not in the cache, and the hub did not give it. 'sam-vit-nano' is in this package and needs no network; with "
        f"one, `hf download {hub_id}` fetches the other for later. HF_ENDPOINT=https://... before the command asks a "
        f"mirror; HF_HUB_OFFLINE=1, where set, forbids it.{looks}"
    )


def hub_answers(
    hub_id: str,
    *,
    revision: str | None = None,
    token: Any = None,
    endpoint: str | None = None,
    seconds: float = _SECONDS,
) -> bool:
    """Ask the hub once, without retries, and say whether anybody answered, whatever the answer.

    Args:
        hub_id: Of a checkpoint.
        revision: Branch, tag or commit.
        token: As the hub client takes it.
        endpoint: Of the hub; None takes the hub client's.
        seconds: To wait.
    """
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_url

    answers: list[bool] = []

    def ask() -> None:
        try:
            url = hf_hub_url(hub_id, "config.json", revision=revision, endpoint=endpoint)
            get_hf_file_metadata(url, token=token, timeout=seconds)
        except (errors.HfHubHTTPError, errors.HFValidationError, errors.FileMetadataError):
            answers.append(True)
        except Exception:  # whatever the HTTP library raises; which one it is depends on the client's version
            answers.append(False)
        else:
            answers.append(True)

    # In a thread, because a name server that is silent is beyond the timeout.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds + 0.5)
    return bool(answers) and answers[0]
