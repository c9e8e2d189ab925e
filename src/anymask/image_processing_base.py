"""What `SamImageProcessor` and `SamImageProcessorFast` are for Transformers: loading and saving.

What they compute is in `image_preparation.py`, the way back from masks in `mask_post_processing.py`.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

from transformers.image_processing_utils import BaseImageProcessor

from .checkpoints import explained_errors, is_checkpoint_file, processor_options
from .images.post_processing import MaskPostProcessing
from .images.preparation import ImagePreparation
from .weights.names import resolve_checkpoint

# Arguments of `from_pretrained` that say where a checkpoint's files lie; pointless for a single file of weights.
HUB_OPTIONS = ("cache_dir", "force_download", "proxies", "token", "local_files_only", "revision", "subfolder")
_FILE_OPTIONS = (*HUB_OPTIONS, "image_processor_filename", "_from_auto", "_from_pipeline")


class SamImageProcessorBase(ImagePreparation, MaskPostProcessing, BaseImageProcessor):
    """An `ImagePreparation` that loads and saves as Transformers' image processors do, and takes masks back too."""

    model_input_names: ClassVar[list[str]] = ["pixel_values"]

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any) -> Any:
        """Loads `preprocessor_config.json` of a packaged checkpoint, a local folder or file, or a hub id.

        For a file of weights, which says nothing of preprocessing, it is SAM's own at the size of the file's model.
        MedSAM's files cannot be told from it: use its hub id, or pass its options.

        Args:
            pretrained_model_name_or_path: name, path or hub id.
            **kwargs: options that override the file's, and those of the hub (`revision`, `token`, `cache_dir`, ...).

        Raises:
            TypeError: an option is unknown.
        """
        # Transformers' Auto classes and pipelines hand one set of arguments to every part of a model, so what they call
        # with cannot be checked here.
        is_shared = "_from_auto" in kwargs or "_from_pipeline" in kwargs
        if is_shared and not kwargs.get("return_unused_kwargs"):
            return super().from_pretrained(
                resolve_checkpoint(pretrained_model_name_or_path), **kwargs, return_unused_kwargs=True
            )[0]
        return super().from_pretrained(resolve_checkpoint(pretrained_model_name_or_path), **kwargs)

    @classmethod
    def get_image_processor_dict(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The saved options, and those of `kwargs` that say nothing about where they are; see `from_pretrained`."""
        if is_checkpoint_file(pretrained_model_name_or_path):
            options = {name: value for name, value in kwargs.items() if name not in _FILE_OPTIONS}
            return processor_options(pretrained_model_name_or_path), options
        with explained_errors(pretrained_model_name_or_path):
            return super().get_image_processor_dict(pretrained_model_name_or_path, **kwargs)

    def to_dict(self) -> dict[str, Any]:
        """The options and the class name, as they are written to `preprocessor_config.json`."""
        return {**super().to_dict(), "image_processor_type": type(self).__name__}
