"""What is wrong with a data set, said before hours are spent on it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ..masks.rle import rle_area
from .samples import BrokenSampleError, MaskDataset, Sample

ALMOST_FULL = 0.9  # of the image: SAM's own training leaves such masks out
TINY_PIXELS = 10

_MEANINGS = {
    "broken": "cannot be read",
    "no masks": "have no masks",
    "alone": "files have no image or no mask of their name and are left out",
    "empty": "masks are empty",
    "almost full": f"masks cover more than {ALMOST_FULL:.0%} of their image",
    "tiny": f"masks have fewer than {TINY_PIXELS} pixels",
    "values": "mask files were not plain 0 and 1",
}
"""Kinds of findings, the worst first, and what to say of several."""


@dataclass(frozen=True)
class Finding:
    """One thing that may be wrong.

    Attributes:
        kind: "broken", "no masks", "alone", "empty", "almost full", "tiny" or "values".
        sample: its name, or that of the file that is alone.
        detail: which object, and why.
    """

    kind: str
    sample: str
    detail: str


@dataclass
class DataReport:
    """What a data set holds.

    Attributes:
        origin: of the data set.
        samples: how many could be read.
        objects: how many masks they have.
        sizes_hw: how many samples have each height and width in pixels.
        findings: what may be wrong, in the order of the samples.
        unusable: names of samples that can be read, but have no mask to learn from: all are empty or almost full.
    """

    origin: str
    samples: int = 0
    objects: int = 0
    sizes_hw: Counter[tuple[int, int]] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    unusable: list[str] = field(default_factory=list)

    @property
    def is_usable(self) -> bool:
        """Whether there is a mask to learn from, and every sample can be read."""
        return self.objects > 0 and not any(finding.kind == "broken" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "origin": self.origin,
            "samples": self.samples,
            "objects": self.objects,
            "sizes_hw": {f"{height} x {width}": count for (height, width), count in self.sizes_hw.most_common()},
            "findings": [vars(finding) for finding in self.findings],
        }

    def __str__(self) -> str:
        lines = [f"{self.origin}: {self.samples} images, {self.objects} masks"]
        if self.sizes_hw:
            (height, width), count = self.sizes_hw.most_common(1)[0]
            others = len(self.sizes_hw) - 1
            lines.append(f"  {count} of {height} x {width} pixels" + (f", {others} other sizes" if others else ""))
        for kind, meaning in _MEANINGS.items():
            of_kind = [finding for finding in self.findings if finding.kind == kind]
            if of_kind:
                lines.append(f"  {len(of_kind)} {meaning}, the first: {of_kind[0].sample}: {of_kind[0].detail}")
        return "\n".join(lines)


def check(dataset: MaskDataset) -> DataReport:
    """Read every sample of a data set and report what may be wrong with it.

    Nothing is raised: samples that cannot be read, with masks of another size than their image for one, are findings.
    """
    report = DataReport(dataset.origin)
    report.findings += [Finding("alone", name, "nothing goes with it") for name in dataset.alone]
    for index in range(len(dataset)):
        name = dataset.entries[index].name
        try:
            sample = dataset[index]
        except BrokenSampleError as error:
            report.findings.append(Finding("broken", name, str(error)))
            continue
        report.samples += 1
        report.objects += len(sample.rles)
        report.sizes_hw[sample.size_hw] += 1
        report.findings += [Finding("values", name, note) for note in sample.notes]
        if not sample.rles:
            report.findings.append(Finding("no masks", name, "it has no objects"))
        pixels = sample.size_hw[0] * sample.size_hw[1]
        areas = [rle_area(rle) for rle in sample.rles]
        if not any(0 < area <= ALMOST_FULL * pixels for area in _known_areas(sample, areas)):
            report.unusable.append(name)
        for object_id, area in zip(sample.object_ids, areas, strict=True):
            kind = "empty" if area == 0 else "almost full" if area > ALMOST_FULL * pixels else None
            kind = "tiny" if kind is None and area < TINY_PIXELS else kind
            if kind is not None:
                report.findings.append(Finding(kind, name, f"object {object_id} has {area} of {pixels} pixels"))
    return report


def usable_samples(dataset: MaskDataset, report: DataReport, skip_broken: bool = False) -> MaskDataset:
    """The samples of a data set that have something to learn from.

    Args:
        dataset: to choose from.
        report: what `check` found in it.
        skip_broken: leave out samples that cannot be read, rather than refuse them.

    Raises:
        BrokenSampleError: If samples cannot be read and are not to be left out.
        ValueError: If fewer than 2 are left.
    """
    broken = {finding.sample: finding.detail for finding in report.findings if finding.kind == "broken"}
    if broken and not skip_broken:
        raise BrokenSampleError(
            f"{dataset.origin} must have samples that can all be read, but {len(broken)} cannot; the first: "
            f"{next(iter(broken.values()))} Leave them out (--skip-broken, skip_broken=True), or mend them."
        )
    kept = [
        index
        for index, entry in enumerate(dataset.entries)
        if entry.name not in broken and entry.name not in report.unusable
    ]
    if len(kept) < 2:
        raise ValueError(f"{dataset.origin} must have 2 images with usable objects or more, got {len(kept)}.")
    return dataset[kept]


def _known_areas(sample: Sample, areas: list[int]) -> list[int]:
    """Pixels of each mask that are not ignored."""
    return areas if sample.ignored is None else (sample.targets == 1).sum(axis=(1, 2)).tolist()
