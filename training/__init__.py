"""tagscribe's trainers: the tag-guided captioner and the contrastive dual encoder."""
