"""Images to pixel values and masks back: read load, options, preparation, resize_pillow, post_processing, files."""
