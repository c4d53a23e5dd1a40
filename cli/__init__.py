"""The `jalon` command, and the embedded servers for one machine."""
