"""Windows that only listen to results."""
