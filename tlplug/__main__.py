"""`python -m tlplug`."""

import sys

from tlplug.cli import main

if __name__ == "__main__":
    sys.exit(main())
