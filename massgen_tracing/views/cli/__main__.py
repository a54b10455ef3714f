"""`python -m massgen_tracing.views.cli`."""

import sys

from massgen_tracing.views.cli import main

sys.exit(main())
