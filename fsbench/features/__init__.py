"""Features: extracted by a backbone once, kept in HDF5, or read from files of other projects."""
