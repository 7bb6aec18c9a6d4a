"""Evaluation: features, tasks and a head give a result, which is one file."""
