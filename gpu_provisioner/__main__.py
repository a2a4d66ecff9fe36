"""`python -m gpu_provisioner`."""

from __future__ import annotations

import sys

from gpu_provisioner.main import main

if __name__ == "__main__":
    sys.exit(main())
