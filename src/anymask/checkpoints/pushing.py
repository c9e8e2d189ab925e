"""Sending a checkpoint to the hub, with a model card."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from huggingface_hub import HfApi, ModelCard

from .model_card import CARD_FILE, make_model_card

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def push_model(
    model: PreTrainedModel,
    repo_id: str,
    api: HfApi,
    *,
    model_card: str | os.PathLike[str] | ModelCard | None = None,
    private: bool | None = None,
    revision: str | None = None,
    tags: list[str] | None = None,
    max_shard_size: int | str | None = "50GB",
    **commit: Any,
) -> str:
    """Write a model into a repository of the hub, in one commit.

    Args:
        model: a `SamModel` or `SamVisionModel`.
        repo_id: of the repository, made if it is not there.
        api: the hub.
        model_card: a file, or a card. By default a card that is there stays, and where there is none, what is known of
            the model is written.
        private: whether a new repository is private.
        revision: branch, made if it is not there.
        tags: of the card that is written by default.
        max_shard_size: of a file of weights, in bytes or with a unit, such as "5GB".
        **commit: `commit_message`, `commit_description`, `create_pr`.

    Returns:
        The address of the commit.
    """
    text = None
    if model_card is not None:
        text = str(model_card) if isinstance(model_card, ModelCard) else Path(model_card).read_text(encoding="utf-8")
    repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
    if revision is not None and not revision.startswith("refs/pr"):
        api.create_branch(repo_id, branch=revision, exist_ok=True)
    if text is None and not api.file_exists(repo_id, CARD_FILE, revision=revision):
        text = str(make_model_card(model.config, name=repo_id, tags=tags or ()))
    with TemporaryDirectory() as folder:
        model.save_pretrained(folder, max_shard_size=max_shard_size)
        path = Path(folder, CARD_FILE)
        path.unlink(missing_ok=True)  # what save_pretrained writes names no repository
        if text is not None:
            path.write_text(text, encoding="utf-8")
        return str(api.upload_folder(repo_id=repo_id, folder_path=folder, revision=revision, **commit))
