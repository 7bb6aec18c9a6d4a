"""`python -m fsbench` is the `fsbench` command."""

import sys

from fsbench.cli import main

if __name__ == "__main__":
    sys.exit(main())
