"""Fast ways to run Algorithm 1, which give what its readable statement in `skmpcc.method` gives."""
