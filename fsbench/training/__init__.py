"""Training: the loop, recipes and their losses, optimisation, precision and exact resume."""
