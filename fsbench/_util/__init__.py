"""What the rooms share: files, errors, random streams, the machine, checks of untrusted files."""
