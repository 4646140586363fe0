"""One interface to object storage and local files, with retries and a read budget.

`run`, `table` and `catalog` decide what is stored under which name.
"""
