"""Ingredients of recipes: pure functions on tensors, every random draw an argument."""
