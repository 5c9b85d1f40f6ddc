"""Facts, no physics: cited structures, open-circuit curves, standards, and their loader."""
