"""Segment what prompts point at: `sources` of images, `answers` for each, `decode`, `choice` of masks, `session`."""
