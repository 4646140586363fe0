"""Evaluation on published data sets: zero-shot classification, tagging and retrieval."""

from training.evaluate.datasets import DATASETS
from training.evaluate.run import evaluate

__all__ = ["DATASETS", "evaluate"]
