"""Training. Read `samples`, `collate`, `trainer_contract`; then `recipes`, `interactive`, `adapters`, `finetune`.

How sam-vit-nano was made is in `train`, `step`, `data` and what they import; `python -m anymask.training.train --help`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .collate import SamDataCollator
    from .interactive import PromptedSamModel
    from .recipes import PromptRecipe
    from .samples import TrainingSamples
    from .trainer_contract import SegmentationMetrics, arguments

_HOME_OF = {
    "PromptRecipe": "recipes",
    "PromptedSamModel": "interactive",
    "SamDataCollator": "collate",
    "SegmentationMetrics": "trainer_contract",
    "TrainingSamples": "samples",
    "arguments": "trainer_contract",
}
__all__ = ["PromptRecipe", "PromptedSamModel", "SamDataCollator", "SegmentationMetrics", "TrainingSamples", "arguments"]


def __getattr__(name: str) -> Any:
    """Imports a name from its home on first use: `transformers.Trainer` takes seconds to import."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    from importlib import import_module

    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
