"""`tagscribe` with workers that take memory until they are killed, where a file requests it."""

from functools import partial

from curation.cli import main
from curation.engine import driver
from tests.fake_workers import GrowingWorker

if __name__ == "__main__":
    driver.annotate_run = partial(driver.annotate_run, fused_worker=GrowingWorker)
    main.main()
