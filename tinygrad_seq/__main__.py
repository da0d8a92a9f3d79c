"""``python -m tinygrad_seq`` is the command ``tinygrad-seq``."""

import sys

from .cli import main

sys.exit(main())
