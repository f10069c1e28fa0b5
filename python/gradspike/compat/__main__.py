"""Runs a script that was written for hxtorch, as `python script.py` would.

python -m gradspike.compat [--force] [--list] (script.py | -m module | -c code) [arguments]
"""

import sys

from gradspike.compat._run import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
