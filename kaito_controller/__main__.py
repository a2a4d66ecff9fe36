"""`python -m kaito_controller`."""

import sys

from kaito_controller.main import main

sys.exit(main())
