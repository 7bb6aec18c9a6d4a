"""Reports: everything that is made from result files."""
