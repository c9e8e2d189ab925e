"""Package metadata of anymask. Tool settings are in pyproject.toml, exact pins in constraints.txt.

Each lower bound is the oldest version that `make test-minimum` has run the test suite with.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"$', (HERE / "src/anymask/__init__.py").read_text(), re.MULTILINE).group(1)

CORE = [
    "transformers>=5.17,<6",  # 5.17 is the oldest that the tests ran with; 6 is not out
    "torch>=2.9,<3",  # 2.9 is the oldest that the tests ran with; 3 is not out, so nothing is known about it
    "safetensors>=0.8",  # what transformers 5.17 asks for: checkpoints are read and written through it
    "huggingface_hub>=1.5,<3",  # what transformers 5.17 asks for: push_to_hub and downloads by hub id
    "tokenizers>=0.23.1",  # no tokenizer is used, but transformers 5.17 does not import without this one
    "pillow>=11",  # older ones warn, besides raising, when the EXIF data of a broken file ends too early
    "numpy>=1.26,<3",  # 1.26 is the oldest with wheels for Python 3.12; 3 may break the array API
    "accelerate>=1.1",  # what transformers 5.17 asks for when `device_map=` is used
    "typer>=0.26",  # the command line, installed by transformers anyway; older ones warn under click 8.5
    "rich>=13.8",  # progress on a terminal; what typer 0.26 asks for, installed with it anyway
    "tqdm>=4.64",  # the progress bar of segment-everything; 4.64 is the oldest that cvat-sdk goes with
    "scipy>=1.13",  # clicks of fine-tuning and evaluation, tiles, volumes; 1.13 is the oldest with NumPy 2 wheels
]

EXTRAS = {
    # The synthetic scenes that sam-vit-nano learned from cut textures from scikit-image's photographs. Fine-tuning on
    # data of your own needs no extra.
    "train": [
        "scikit-image>=0.24",  # 0.24 is the oldest with NumPy 2 wheels
    ],
    # Low-rank adapters: `anymask.training.adapters`.
    "adapters": [
        "peft>=0.21.2",  # the oldest that the tests ran with
    ],
    # `anymask evaluate`: the thinning of edges, COCO's AP and AR; other tasks need no extra.
    "evaluation": [
        "faster-coco-eval>=1.8",  # 1.8 is the oldest that the tests ran with
        "scikit-image>=0.24",  # as in train
    ],
    # Volumes in NIfTI and DICOM.
    "medical": [
        "nibabel>=5.4",  # 5.4 is the oldest that the tests ran with
        "pydicom>=3.0.1",  # 3 is the first whose pixel decoding needs nothing but NumPy, 3.0.0 downloads when imported
    ],
    # Frames of video files and streams as sources of `SAM.predict`.
    "video": [
        "av>=14.2",  # the first that tells how a frame is rotated
    ],
    # TIFF files of floats, of more than four bands, or of planes of more than 8 bits.
    "tiff": [
        "tifffile>=2025.5.10",  # the last for Python 3.10
    ],
    # `Results.to_dataframe`.
    "tables": [
        "pandas>=2.2.2",  # 2.2.2 is the oldest with NumPy 2 wheels
    ],
    # Images larger than memory, and rasters with a place on earth.
    "geo": [
        "rasterio>=1.4",  # 1.4 is the oldest with NumPy 2 wheels for Python 3.13
        "geopandas>=1.1",  # older ones warn under current shapely
    ],
    # `Results.to_supervision`.
    "supervision": [
        "supervision>=0.31.2",  # the oldest that the tests ran with
    ],
    # `anymask generate` with Parquet, and on clusters.
    "scale": [
        "pyarrow>=18",  # 18 is the oldest with wheels for Python 3.13
    ],
    "ray": [
        "ray[data]>=2.50",  # 2.50 is the oldest whose map_batches takes ActorPoolStrategy as used here
    ],
    # `anymask export`.
    "onnx": [
        "onnx>=1.18",  # the oldest that the tests ran with
        "onnxscript>=0.7.2",  # what PyTorch's exporter needs beside it; the oldest that the tests ran with, 0.5 fails
        "onnxruntime>=1.22",  # exported files are compared in it; 1.22 is the oldest with the IR version written here
    ],
    # `anymask export --format openvino`, beside `onnx`.
    "openvino": [
        "openvino>=2026.4.1",  # the oldest that the tests ran with
    ],
    # `make docs`, with constraints-docs.txt; not part of dev, since the tests need none of it.
    "docs": [
        "mkdocs>=1.6,<2",  # 1.6 is the oldest that checks anchors; 2 takes no plugins
        "mkdocs-material>=9.7",  # the theme; in maintenance until 2027-05, see docs/decisions/0028-site.md
        "mkdocstrings[python]>=1",  # the reference from docstrings
    ],
    # `anymask demo`: a page in the browser.
    "demo": [
        "starlette>=1.7",  # the oldest that the tests ran with, and the last for Python 3.10
        "uvicorn>=0.30",  # the oldest that the tests ran with
    ],
    # `anymask.integrations.cvat`.
    "cvat": [
        "cvat-sdk>=2.80 ; python_version >= '3.11'",  # the oldest that the tests ran with; it needs Python 3.11
    ],
    "test": [
        "monai>=1.6",  # losses and distances between surfaces are compared with it; 1.6 is the oldest that was
        "pycocotools>=2.0.8",  # run lengths are compared with it; 2.0.8 is the oldest with NumPy 2 wheels
        "httpx2>=2.14",  # requests of the demo's tests, by Starlette's client
        "pytest>=8.2",  # 8.2 is the oldest whose importlib import mode resolves namespace packages
        "pytest-xdist>=3.6",  # the suite runs on two processes
        "fonttools>=4.65",  # makes a font for a test of labels; matplotlib brings it; the oldest that was run
        "matplotlib>=3.10.8",  # a snippet of the README draws with it; older ones warn under current pyparsing
        "requests>=2.28",  # a snippet of the README downloads with it; any version of the last years does
        "zarr>=3.1 ; python_version >= '3.11'",  # sources of large images; 3.1 is the oldest that the tests ran with
        "tiffslide>=3 ; python_version >= '3.11'",  # likewise; 3 is the oldest that takes zarr 3
    ],
    "quality": [
        "ruff>=0.8",  # rules and formatting style of pyproject.toml; the exact version is pinned in constraints.txt
        "mypy>=1.13",  # first with Python 3.13 grammar
        "import-linter>=2.1",  # first with the contract types used in pyproject.toml
    ],
}
# All that the tests import, for `make test-minimum`; Ray's tests have a target of their own.
EXTRAS["minimum"] = sorted(
    {line for name, extra in EXTRAS.items() if name not in ("quality", "ray", "docs") for line in extra}
)
EXTRAS["dev"] = sorted({line for name, extra in EXTRAS.items() if name != "docs" for line in extra})

setup(
    name="anymask",
    version=VERSION,
    description="Segment Anything (SAM) in Hugging Face Transformers form, with a small checkpoint in the box",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",  # 3.10 is the oldest that torch 2.9 and transformers 5 install on
    package_dir={"": "src"},
    packages=find_packages("src"),
    package_data={
        "anymask": ["py.typed", "__init__.pyi", "weights/*/*", "results/font/*", "demo/*.json", "demo/page/**/*"]
    },
    install_requires=CORE,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["anymask = anymask.__main__:main"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
