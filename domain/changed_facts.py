"""Facts that changed: what is judged at once, and what waits for an act that may have read them too early."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

SUSPENSION = "suspension"
"""Among the facts that changed: a cover was taken off."""
WATCHING = "watching"
"""What a suspended control waits for: its condition, which the clock may make hold all the same."""
HELD = ("suspended", WATCHING)
"""What is said of a step that a suspension keeps back."""
HOLD = "hold"
"""Its row was moved while an act of it was in flight."""
LEFT = "left"
"""The stage was left while an act was in flight; never judged, only remembered."""


class Facts(BaseModel):
    """Fields, by full reference, and other facts that changed; `at` is when the last of them did (UTC)."""

    at: datetime
    fields: list[str]

    def after(self, earlier: Facts | None) -> Facts:
        """Both, as one change."""
        if earlier is None:
            return self
        fields = [*earlier.fields, *(f for f in self.fields if f not in earlier.fields)]
        return Facts(at=max(earlier.at, self.at), fields=fields)
