"""A company to look at: it builds wooden stairs, and its rules are at work from the first minute."""
