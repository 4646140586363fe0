"""Review: a local page over a whole run for listening, choosing a threshold, and marking."""
