"""Engine, tables, the write path, outbox, ledger and migrations."""
