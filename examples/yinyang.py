"""Trains the Yin-Yang network and puts it on the emulated chip: `python -m gradspike.examples.yinyang`."""

import sys

from gradspike.examples.yinyang import main

if __name__ == "__main__":
    sys.exit(main())
