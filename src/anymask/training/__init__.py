"""Training. Read `samples`, `collate`, `trainer_contract`; then `recipes`, `interactive`, `adapters`, `finetune`.

How sam-vit-nano was made is in `train`, `step`, `data` and what they import; `python -m anymask.training.train --help`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adapters import add_adapter, merge_adapter
    from .cached_embeddings import cache_image_embeddings
    from .collate import SamDataCollator
    from .finetune import FineTuneOptions, fine_tune
    from .interactive import PromptedSamModel
    from .recipes import PromptRecipe
    from .samples import HeldOutPrompts, TrainingSamples
    from .trainer_contract import SegmentationMetrics, arguments

_HOME_OF = {
    "FineTuneOptions": "finetune",
    "HeldOutPrompts": "samples",
    "PromptRecipe": "recipes",
    "PromptedSamModel": "interactive",
    "SamDataCollator": "collate",
    "SegmentationMetrics": "trainer_contract",
    "TrainingSamples": "samples",
    "add_adapter": "adapters",
    "arguments": "trainer_contract",
    "cache_image_embeddings": "cached_embeddings",
    "fine_tune": "finetune",
    "merge_adapter": "adapters",
}
__all__ = [
    "FineTuneOptions",
    "HeldOutPrompts",
    "PromptRecipe",
    "PromptedSamModel",
    "SamDataCollator",
    "SegmentationMetrics",
    "TrainingSamples",
    "add_adapter",
    "arguments",
    "cache_image_embeddings",
    "fine_tune",
    "merge_adapter",
]


def __getattr__(name: str) -> Any:
    """Imports a name from its home on first use: `transformers.Trainer` takes seconds to import."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    from importlib import import_module

    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
