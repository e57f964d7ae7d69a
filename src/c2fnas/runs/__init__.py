"""A run: its folder, configuration, lock, ledger, and the loop that drives its jobs."""
