"""The files that a run keeps beside its configuration and its ledger: a type for each kind."""
