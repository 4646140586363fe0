"""Model adapters (captioners, scorers, taggers), the networks behind them, and their files.

Which model a run uses is said in `config`; when it is called is left to `annotate`.
"""
