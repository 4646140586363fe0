"""What a scorer's numbers mean: its scores of matched and of shuffled pairs, and a threshold."""
