"""The page with the model as files that any web server can serve."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ..export.export import export
from ..support.atomic_files import whole_folder, write_json
from .answers import mask_size

if TYPE_CHECKING:
    from ..sam import SAM

MODEL_FOLDER = "model"
LAYOUT = "meta"  # its decoder takes masks of earlier answers, and gives all four


def write_static(sam: SAM, model_name: str, folder: str | os.PathLike[str], page: Path) -> None:
    """Write the page, the model's ONNX files and `manifest.json`; the folder appears whole or not at all.

    Args:
        sam: The model, in float32 on the CPU.
        model_name: What it is called on the page.
        folder: Must not be there yet.
        page: Folder of the built page.

    Raises:
        FileExistsError: If the folder is there.
        FileNotFoundError: If the page is not built.
        ImportError: If the extra `onnx` is not installed.
    """
    if os.path.lexists(folder):
        raise FileExistsError(f"The folder for the page must not be there yet, but {folder} is; name another.")
    if not (page / "index.html").is_file():
        raise FileNotFoundError("The page must be built first, with `make web`; wheels of anymask bring it.")
    processor = sam.processor.image_processor
    config = sam.model.config
    vision = config.vision_config
    with whole_folder(Path(folder)) as unfinished:
        shutil.copytree(page, unfinished, dirs_exist_ok=True)
        export(sam.model, unfinished / MODEL_FOLDER, preprocessor=processor, layout=LAYOUT)
        manifest = {
            "engine": "browser",
            "layout": LAYOUT,
            "model": model_name,
            "encoder": f"{MODEL_FOLDER}/encoder.onnx",
            "decoder": f"{MODEL_FOLDER}/decoder_multi.onnx",
            "image_size": vision.image_size,
            "mask_size": mask_size(config),
            "mean": list(processor.image_mean),
            "std": list(processor.image_std),
            "prompted_masks": getattr(config, "prompted_masks", None),
            "mask_generation": getattr(config, "mask_generation", None),
        }
        write_json(unfinished / "manifest.json", manifest)
