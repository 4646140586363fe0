"""Object storage and local files with one interface, retries and a read budget.

`run`, `table` and `catalog` decide what is stored under which name.
"""
