"""Evaluation room: how good a model's masks are. Read `clicks`, `metrics`, `segmenters`, a task, `runs`, `reports`.

Tasks are in `interactive` (points, clicks, boxes, masks), `coco_scores` (proposals, instances) and `edges`; `protocols`
has the papers' settings. `anymask evaluate` is the door; docs/evaluation.md the guide. Needs `anymask[evaluation]`.
`evaluate`, `photographs`, `thresholds` and `baselines` score sam-vit-nano beside classical segmentation.
"""
