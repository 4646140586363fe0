"""Model adapters (captioners, scorers, taggers), the networks behind them, and their files.

`config` names the models of a run, and `annotate` calls them.
"""
