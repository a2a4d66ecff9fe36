"""The model server, under the name and in the folder that the container contract gives it: copied to the image's working folder."""

import sys

from model_runtime.serve.main import main

if __name__ == "__main__":
    sys.exit(main())
