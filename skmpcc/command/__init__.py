"""The work of the command `skmpcc`: reading, running, writing."""
