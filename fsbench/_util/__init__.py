"""Private helpers for all subpackages: files, errors, random streams, devices, untrusted files."""
