"""The command line: `rootbound COMMAND`. Logs go to stderr, results to stdout.

Exit codes: 0 done, 1 failed on the way, 2 bad input, 130 interrupted, 143 terminated.
"""

from rootbound.cli.main import main

__all__ = ["main"]
