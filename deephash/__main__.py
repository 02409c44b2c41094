"""``python -m deephash`` is ``deephash``, where the folder of its command is not on the path."""

import sys

from deephash.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
