"""Released checkpoints of other code as model directories of ours."""
