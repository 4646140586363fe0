"""Object storage and local files behind one set of functions, with retries and a read budget.

What is stored, and under which name, is left to `run`, `table` and `catalog`.
"""
