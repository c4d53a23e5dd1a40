"""Effects, the frame that runs them, and what carries them outside."""
