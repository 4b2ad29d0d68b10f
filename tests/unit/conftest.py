"""Unit tests are hermetic: no network but loopback, no cluster, no real clock."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
