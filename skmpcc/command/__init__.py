"""The work of `python -m skmpcc`: reading, running, writing."""
