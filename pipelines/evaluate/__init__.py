"""The paper's fidelity experiments on a run's own images: `nhd evaluate`."""
