"""The inputs that failed once, by their own commands; see `tests.cases`."""

import pytest

from tests.cases import CHECKS, describe_result, judge_case, run_case
from tests.support.paths import SHARED_CASES


@pytest.mark.slow
@pytest.mark.skipif(not SHARED_CASES.is_dir(), reason=f"no cases at {SHARED_CASES}")
@pytest.mark.parametrize("name", sorted(CHECKS))
def test_what_should_come_comes(name):
    result = run_case(SHARED_CASES / name)
    assert judge_case(name, result) == "as expected", describe_result(result)
