"""What callers and operators experience; each test is named after what the specification says."""
