"""Real PostgreSQL, real SMTP: every kind of rule, and what they stand on."""
