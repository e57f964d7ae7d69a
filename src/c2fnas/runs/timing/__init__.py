"""The time of a run: what it has taken, what it may take, what is left, and how many jobs share it."""
