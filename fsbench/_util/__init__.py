"""Private helpers of all rooms: files, errors, random streams, the machine, validation of untrusted files."""
