"""Images in, committed rows and moments out."""
