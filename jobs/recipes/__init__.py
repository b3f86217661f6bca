"""Studies as lists of commands: the recipes in YAML, and what reads, checks and runs them."""
