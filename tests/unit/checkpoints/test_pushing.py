import inspect
import shutil
from types import SimpleNamespace

import pytest
from huggingface_hub import ModelCard
from tests.tiny_sam import tiny_model
from transformers import PreTrainedModel

from anymask import SamModel
from anymask.checkpoints.pushing import push_model


class Hub:
    """Takes what is uploaded, and has the files it is told."""

    def __init__(self, folder, files=()):
        self.folder, self.files, self.calls = folder, files, []

    def create_repo(self, repo_id, **given):
        self.calls.append(("create_repo", repo_id, given))
        return SimpleNamespace(repo_id=f"me/{repo_id}")

    def create_branch(self, repo_id, **given):
        self.calls.append(("create_branch", repo_id, given))

    def file_exists(self, repo_id, filename, revision=None):
        return filename in self.files

    def upload_folder(self, *, repo_id, folder_path, **given):
        shutil.copytree(folder_path, self.folder)
        self.calls.append(("upload_folder", repo_id, given))
        return f"https://hub/{repo_id}/commit/1"


def test_a_repository_without_a_card_gets_one(tmp_path):
    hub, model = Hub(tmp_path / "hub"), tiny_model()
    assert push_model(model, "cells", hub, private=True, tags=["cells"], commit_message="new") == (
        "https://hub/me/cells/commit/1"
    )
    assert hub.calls == [
        ("create_repo", "cells", {"private": True, "exist_ok": True}),
        ("upload_folder", "me/cells", {"revision": None, "commit_message": "new"}),
    ]
    card = ModelCard((tmp_path / "hub" / "README.md").read_text())
    assert 'SAM("me/cells")' in card.text
    assert "cells" in card.data.tags
    loaded = SamModel.from_pretrained(tmp_path / "hub")
    assert loaded.num_parameters() == model.num_parameters()


def test_a_card_that_is_there_stays(tmp_path):
    push_model(tiny_model(), "cells", Hub(tmp_path / "hub", files=["README.md"]))
    assert not (tmp_path / "hub" / "README.md").exists()


@pytest.mark.parametrize("as_file", [True, False])
def test_a_card_that_is_given_goes_first(tmp_path, as_file):
    path = tmp_path / "card.md"
    path.write_text("---\nlicense: mit\n---\n# mine\n")
    card = path if as_file else ModelCard(path.read_text())
    push_model(tiny_model(), "cells", Hub(tmp_path / "hub", files=["README.md"]), model_card=card)
    assert (tmp_path / "hub" / "README.md").read_text() == path.read_text()


def test_a_branch_is_made(tmp_path):
    hub = Hub(tmp_path / "hub")
    push_model(tiny_model(), "cells", hub, revision="next")
    assert ("create_branch", "me/cells", {"branch": "next", "exist_ok": True}) in hub.calls


def test_the_model_takes_what_transformers_takes():
    theirs = inspect.signature(inspect.unwrap(PreTrainedModel.push_to_hub)).parameters
    ours = inspect.signature(SamModel.push_to_hub).parameters
    assert set(theirs) <= set(ours)
    assert set(ours) - set(theirs) == {"model_card"}
