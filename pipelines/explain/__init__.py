"""One neuron, pair or concept in pictures and words: its exemplars, heads, shares, and where."""
