"""What is evaluated: read `interactive` with `clicks`, `coco_scores` with `detections`, `edges`; then `protocols`."""
