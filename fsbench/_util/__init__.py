"""Private helpers of all rooms: files, errors, random streams, the machine, untrusted files."""
