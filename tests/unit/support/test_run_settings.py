import json

import pytest

from anymask.support.run_settings import keep_settings


def test_settings_are_kept_and_compared(tmp_path):
    folder = tmp_path / "run"
    keep_settings(folder, {"model": "one", "sizes": (1, 2)})
    assert json.loads((folder / "settings.json").read_text()) == {"model": "one", "sizes": [1, 2]}
    keep_settings(folder, {"model": "one", "sizes": (1, 2)})
    with pytest.raises(ValueError, match=r"was made with another new, sizes; pass another folder, or the settings in"):
        keep_settings(folder, {"model": "one", "sizes": (1, 3), "new": 1})
