"""The mask decoder with less work, and the image encoder in 8 bits (`int8`)."""
