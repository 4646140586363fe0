"""Model adapters (captioners, scorers, taggers), their networks, and their files.

`config` names the models of a run, and `annotate` calls them.
"""
