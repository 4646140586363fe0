"""A local web page on which people listen to clips, choose a threshold, and mark captions."""
