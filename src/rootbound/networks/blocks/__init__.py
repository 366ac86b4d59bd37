"""Finding blocks: the parts of any network between two points through which everything flows."""
