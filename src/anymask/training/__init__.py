"""Training. Read `samples`, `collate`, `trainer`; then `recipes`, `interactive`, `adapters`; then `fine_tuning`, a run.

How sam-vit-nano is made, with the same trainer, is in `nano`; `python -m anymask.training.nano.train --help`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adapters import add_adapter, merge_adapter
    from .cached_embeddings import cache_image_embeddings
    from .collate import SamDataCollator
    from .fine_tuning.options import FineTuneOptions
    from .fine_tuning.run import fine_tune
    from .interactive import PromptedSamModel
    from .recipes import PromptRecipe
    from .samples import HeldOutPrompts, TrainingSamples
    from .trainer import SamTrainer, SegmentationMetrics, arguments

_HOME_OF = {
    "FineTuneOptions": "fine_tuning.options",
    "HeldOutPrompts": "samples",
    "PromptRecipe": "recipes",
    "PromptedSamModel": "interactive",
    "SamDataCollator": "collate",
    "SamTrainer": "trainer",
    "SegmentationMetrics": "trainer",
    "TrainingSamples": "samples",
    "add_adapter": "adapters",
    "arguments": "trainer",
    "cache_image_embeddings": "cached_embeddings",
    "fine_tune": "fine_tuning.run",
    "merge_adapter": "adapters",
}
__all__ = [
    "FineTuneOptions",
    "HeldOutPrompts",
    "PromptRecipe",
    "PromptedSamModel",
    "SamDataCollator",
    "SamTrainer",
    "SegmentationMetrics",
    "TrainingSamples",
    "add_adapter",
    "arguments",
    "cache_image_embeddings",
    "fine_tune",
    "merge_adapter",
]


def __getattr__(name: str) -> Any:
    """Import a name from its home on first use: `transformers.Trainer` takes seconds to import."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    from importlib import import_module

    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
