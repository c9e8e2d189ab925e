"""labelme and osam: exported files as one of osam's models, in whatever program asks osam.

    anymask export sam-vit-nano --layout osam --output osam-model
    python -m anymask.integrations.labelme osam-model photo.jpg

The second line starts labelme, in whose list "Sam (accuracy)" is then the exported model. osam's own files carry the
hash of what was published, so a model of one's own is added to its list of models instead. Neither labelme nor osam is
changed, and neither is needed by anything else here.

Source: osam's `Blob` and `Model`.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

TAKES_THE_PLACE_OF = "sam:latest"  # osam's name of what labelme lists as "Sam (accuracy)"
PARTS = ("encoder", "decoder")


def add_to_osam(folder: str | os.PathLike[str], name: str = TAKES_THE_PLACE_OF) -> type:
    """Put an exported model before osam's others.

    Args:
        folder: What `export` wrote with the layout "osam".
        name: Under which osam finds it, in place of a model of its own of that name.

    Returns:
        The class of the model, as osam has it.

    Raises:
        FileNotFoundError: If the folder lacks a file.
        ImportError: If osam is not installed.
    """
    files = {part: Path(folder).resolve() / f"{part}.onnx" for part in PARTS}
    if missing := [path.name for path in files.values() if not path.is_file()]:
        raise FileNotFoundError(
            f"{folder} must hold what `anymask export --layout osam` writes, but lacks {', '.join(missing)}."
        )
    try:
        import osam
    except ImportError as error:
        raise ImportError("The model is run by osam, which is not installed; run pip install labelme.") from error

    class OwnFile(osam.types.Blob):
        @property
        def path(self) -> str:
            """Where the file lies; osam compares its hash and downloads nothing."""
            return str(self.url)

    blobs = {
        part: OwnFile(url=str(path), hash=f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}")
        for part, path in files.items()
    }
    like = osam.apis.get_model_type_by_name(TAKES_THE_PLACE_OF)  # prepares pictures and prompts
    model = type("ExportedModel", (like,), {"name": name, "_blobs": blobs})
    osam.apis.registered_model_types.insert(0, model)
    return model


def main() -> None:
    """Start labelme with the exported model of the first argument; the others are labelme's."""
    if len(sys.argv) < 2:
        sys.exit("usage: python -m anymask.integrations.labelme FOLDER [arguments of labelme]")
    folder = sys.argv.pop(1)
    try:
        add_to_osam(folder)
        from labelme.__main__ import main as run
    except (FileNotFoundError, ImportError) as error:
        sys.exit(f"Error: {error}")
    run()


if __name__ == "__main__":
    main()
