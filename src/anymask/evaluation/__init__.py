"""Evaluation room: how good a model's masks are. Read `metrics`, `answers`, `segmenters`, a task, `runs`, `reports`.

Tasks are in `tasks`: `interactive` (points, clicks, boxes, masks), `coco_scores` (proposals, instances), `edges`.
`anymask evaluate` is the door; docs/evaluation.md the guide. COCO's scores and edges need `anymask[evaluation]`.
`nano` scores sam-vit-nano beside classical segmentation.
"""
