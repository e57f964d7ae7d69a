"""What a run keeps on the disk: its folder, its lock, its ledger, its configuration."""
