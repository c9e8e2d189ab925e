"""What a fine-tuning run may not be asked for."""

import pytest

from anymask.training import FineTuneOptions


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"learn": "decoders"}, "did you mean 'decoder'"),
        ({"recipe": "papers"}, "did you mean 'paper'"),
        ({"epochs": 0}, "must be 1 or more"),
        ({"precision": "float16"}, "`precision` must be one of"),
        ({"loss": "dice"}, "The type of the loss"),
    ],
)
def test_options_that_cannot_be_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        FineTuneOptions(data="data", output="out", **fields)
