"""YAML with the line of every value: what recipes and audits are read with."""
