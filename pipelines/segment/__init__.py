"""Training-free segmentation of whole scenes."""
