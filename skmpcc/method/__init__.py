"""MPCC as the paper has it: losses, prior, networks and Algorithm 1, in plain torch."""
