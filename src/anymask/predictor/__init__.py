"""Segment what prompts point at: `sources` of images, `decode`, `choice` among masks, and the interactive `session`."""
