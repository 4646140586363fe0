"""What a run folder says of itself: status, verification and cost. No cluster is needed."""
