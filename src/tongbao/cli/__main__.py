"""``python -m tongbao.cli`` is ``tongbao``."""

import sys

from tongbao.cli import main

sys.exit(main())
