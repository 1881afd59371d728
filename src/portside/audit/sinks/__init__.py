"""Where entries are kept, and where checkpoints are shipped: one file a place."""
