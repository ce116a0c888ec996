"""``python -m massgraph.cli`` is the command line too."""

import sys

from massgraph.cli import main

sys.exit(main())
