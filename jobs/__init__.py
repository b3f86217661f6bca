"""The command line and its configuration; nothing else reads arguments or the environment."""
