"""Starts the server: `python3 -m model_runtime.serve`."""

import sys

from model_runtime.serve.main import main

if __name__ == "__main__":
    sys.exit(main())
