"""What commands print: short, aligned, plain text that also reads well through a pipe."""
