"""The pure engine: no I/O, no clock, no Temporal."""
