"""Status, verification and cost of a run, from its folder alone. No cluster is needed."""
