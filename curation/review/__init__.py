"""Review: a local page over a whole run, on which people listen, choose a threshold, and mark."""
