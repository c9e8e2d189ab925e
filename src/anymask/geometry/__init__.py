"""Where things are: `coordinates` of prompts, images and masks, then `crops` and grids of points."""
