"""`python -m awd_keras`, the same as `awd-keras`."""

import sys

from awd_keras.cli import main

sys.exit(main())
