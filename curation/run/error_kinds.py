"""The kind of error of each clip in the evidence, as reports and reviews count them."""

import pyarrow as pa
import pyarrow.compute as pc


def error_kinds(clips: pa.Table) -> list[str | None]:
    """Return `stage/type` of each clip's error; None for clips without an error."""
    errors = clips["error"].combine_chunks()
    names = pc.binary_join_element_wise(
        pc.struct_field(errors, "stage"), pc.struct_field(errors, "type"), "/"
    )
    kinds: list[str | None] = names.to_pylist()
    return kinds
