"""The project's figures, each as a ratio to a peer that is measured beside it in the same run."""

import os
import sys

# What a user has is compiled once, when pip installs it; otherwise every start would be mostly the compiler's time, of whoever is measured.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
