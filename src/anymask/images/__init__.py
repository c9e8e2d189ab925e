"""Images to pixel values and masks back: `load`, `options`, `preparation`, `resize_pillow`, `post_processing`."""
