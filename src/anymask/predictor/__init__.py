"""Segment what prompts point at: `sources` of images, `answers` for each, `decode` and choose masks, `session`."""
