"""``python -m tinygrad_seq.testing soak`` runs a soak test with random programs."""

import sys

from .soak import main

sys.exit(main())
