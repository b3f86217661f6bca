"""A static site to browse what a model has learned: its pairs and neurons, one page each."""
