"""What `benchmarks.gpu_proof` measures, one file a part.

A part's functions take a `Setting` and return figures by name; each name carries its unit.
"""
