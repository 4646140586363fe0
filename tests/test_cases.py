"""The inputs that failed once, by their own commands; see `tests.cases`."""

import pytest

from tests.cases import CHECKS, describe_result, judge_case, run_case
from tests.support.paths import SHARED_CASES

# Cases whose cause is known and not removed yet.
OPEN = {
    "extension_not_known", "folder_link_loop", "long_tmpdir", "name_not_utf8",
    "name_with_leading_space", "name_with_leading_space_untagged", "parquet_by_polars",
    "parquet_int_labels", "same_name_two_formats", "segments_row_twice", "tar_dots_in_names",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(not SHARED_CASES.is_dir(), reason=f"no cases at {SHARED_CASES}")
@pytest.mark.parametrize("name", sorted(CHECKS))
def test_what_should_come_comes(name, request):
    if name in OPEN:
        request.applymarker(pytest.mark.xfail(reason="not removed yet", strict=False))
    result = run_case(SHARED_CASES / name)
    assert judge_case(name, result) == "as expected", describe_result(result)
