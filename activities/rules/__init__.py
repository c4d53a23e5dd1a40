"""One file per kind of rule; nothing else knows a kind."""
