"""Pure mathematics of neuron-head decomposition on tensors: no files, no Ray, no command line."""
