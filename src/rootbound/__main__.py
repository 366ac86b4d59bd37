"""`python -m rootbound` is `rootbound`."""

import sys

from rootbound.cli import main

if __name__ == "__main__":
    sys.exit(main())
