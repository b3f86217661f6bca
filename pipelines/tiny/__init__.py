"""A small world to try things in: captioned scenes with known truth, and a CLIP trained on them."""
