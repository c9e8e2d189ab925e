import numpy as np
import pytest

from anymask.evaluation.tasks.protocols import PROTOCOLS, protocol_named


def test_numbers_of_the_papers():
    paper, ritm = PROTOCOLS["paper"], PROTOCOLS["ritm"]
    assert paper.report_after == (1, 2, 3, 5, 9) and paper.firsts == ("center", "random") and paper.mask_threshold == 0
    assert (paper.points_per_side, paper.proposal_nms, paper.max_proposals) == (64, 0.9, 1000)
    assert (ritm.max_clicks, ritm.targets) == (20, (0.85, 0.9, 0.95))
    assert 1 / (1 + np.exp(-ritm.mask_threshold)) == pytest.approx(0.49)


def test_unknown_name():
    with pytest.raises(ValueError, match="got 'papers'; did you mean 'paper'"):
        protocol_named("papers")
