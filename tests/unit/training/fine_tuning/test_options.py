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
        ({"learning_rate": 0.0}, "`learning_rate` must be above 0, got 0.0; leave it out"),
        ({"learning_rate": float("nan")}, "`learning_rate` must be above 0, got nan"),
        ({"validation": 1.5}, "`validation` must be a share between 0 and 1, or a path, got 1.5"),
        ({"loss": "dice"}, "The type of the loss"),
    ],
)
def test_options_that_cannot_be_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        FineTuneOptions(data="data", output="out", **fields)
