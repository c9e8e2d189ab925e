import gc

import pytest

from anymask.support.garbage import collector_rests


@pytest.mark.parametrize("is_on", [True, False])
def test_the_collector_rests_and_is_afterwards_as_before(is_on):
    try:
        (gc.enable if is_on else gc.disable)()
        with collector_rests():
            assert not gc.isenabled()
        assert gc.isenabled() == is_on
    finally:
        gc.enable()
