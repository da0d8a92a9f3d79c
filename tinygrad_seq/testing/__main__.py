"""``python -m tinygrad_seq.testing soak`` runs random programs for hours."""

import sys

from .soak import main

sys.exit(main())
