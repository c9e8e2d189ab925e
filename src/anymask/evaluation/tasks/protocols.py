"""Named settings of the evaluations: what a paper measured, so that numbers can be laid side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...support.unknown_names import check_known_name


@dataclass(frozen=True)
class Protocol:
    """How prompts are made and what is counted.

    Attributes:
        report_after: after how many clicks the IoU is reported.
        max_clicks: how many are made at most.
        firsts: how the first click is chosen: "center", "random"; each is a run of its own.
        targets: IoUs for which the number of clicks that they take is counted.
        probability_threshold: from which probability on a pixel is foreground; 0.5 is a logit of 0.
        points_per_side: of the grid of proposals.
        proposal_nms: of two proposals whose boxes have a higher IoU than this, the one believed in less goes.
        max_proposals: how many of an image are kept, the best first.
        refine_instances: whether a box's mask goes in again, with the box.
        edge_points_per_side: of the grid of edges.
        edge_nms: as `proposal_nms`, of edges.
        max_masks: of a data set for clicks, boxes and masks: images are drawn by the seed until so many objects are
            together, those of the last image included; None takes all.
    """

    report_after: tuple[int, ...] = (1, 2, 3, 5, 9)
    max_clicks: int = 9
    firsts: tuple[str, ...] = ("center", "random")
    targets: tuple[float, ...] = ()
    probability_threshold: float = 0.5
    points_per_side: int = 64
    proposal_nms: float = 0.9
    max_proposals: int = 1000
    refine_instances: bool = True
    edge_points_per_side: int = 16
    edge_nms: float = 0.7
    max_masks: int | None = None

    @property
    def mask_threshold(self) -> float:
        """The logit of the probability threshold."""
        return float(np.log(self.probability_threshold / (1 - self.probability_threshold)))


PROTOCOLS = {
    "paper": Protocol(max_masks=10_000),
    "ritm": Protocol(
        report_after=(1, 2, 3, 5, 9, 20),
        max_clicks=20,
        firsts=("center",),
        targets=(0.85, 0.9, 0.95),
        probability_threshold=0.49,
    ),
    "segnext": Protocol(report_after=(1, 5), max_clicks=20, firsts=("center",), targets=(0.85, 0.9, 0.95)),
}
"""By name.

- "paper": A. Kirillov et al., "Segment Anything" (2023), appendix D.
- "ritm": K. Sofiiuk et al., "Reviving Iterative Training with Mask Guidance" (2021), with the threshold of its code.
- "segnext": Q. Liu et al., "Rethinking Interactive Image Segmentation with Low Latency, High Quality" (2024).
"""


def protocol_named(name: str) -> Protocol:
    """The protocol of a name.

    Raises:
        ValueError: If there is none.
    """
    check_known_name(name, PROTOCOLS, "`protocol` must be one that is known")
    return PROTOCOLS[name]
