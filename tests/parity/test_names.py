"""Every name that Transformers exports for SAM can be imported from anymask."""

import pytest
import transformers
from transformers.models.sam import modeling_sam
from transformers.utils import ModelOutput

import anymask

pytestmark = pytest.mark.parity


def their_names() -> set[str]:
    exported = {name for name in transformers.models.sam.__all__ if name.startswith("Sam")}
    outputs = {
        name
        for name, value in vars(modeling_sam).items()
        if isinstance(value, type) and issubclass(value, ModelOutput) and value.__module__ == modeling_sam.__name__
    }
    return exported | outputs | {"SamImageProcessorFast"}  # the last is an alias that Transformers 5 keeps


def test_every_name_of_transformers_is_here():
    assert their_names() <= set(anymask.__all__)
    assert {"SamModel", "SamProcessor", "SamImageProcessorPil", "SamVisionEncoderOutput"} <= their_names()


@pytest.mark.parametrize("name", sorted(their_names() - {"SamImageProcessorFast"}))
def test_they_are_called_alike(name):
    ours = getattr(anymask, name)
    assert ours.__module__.startswith("anymask.")
    assert ours.__name__ == name or (name, ours.__name__) == ("SamImageProcessorPil", "SamImageProcessor")
