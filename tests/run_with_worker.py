"""`tagscribe` with a worker of `tests.fake_workers`: its class, then the command's arguments."""

import sys
from functools import partial

from curation.cli import main
from curation.engine import driver
from tests import fake_workers

if __name__ == "__main__":
    worker = getattr(fake_workers, sys.argv.pop(1))
    driver.annotate_run = partial(driver.annotate_run, fused_worker=worker)
    main.main()
