"""What a reference means: a field, or the result of a rule that stands above in the stage."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from domain.fields import Field, Registry, Steps, UnknownField


class UnknownRule(UnknownField):
    """No rule of that id stands above in the stage."""

    def __init__(self, reference: str, rule: str, steps: Iterable[str]) -> None:
        near = difflib.get_close_matches(rule, list(steps), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        LookupError.__init__(self, f"there is no rule {rule!r} above in this stage{hint}")
        self.reference = reference


def resolve(reference: str, registry: Registry, steps: Steps) -> Field:
    """The field of any reference, results of earlier rules included. Raises `UnknownField`."""
    section, _, rest = reference.partition(".")
    if section != "steps":
        return registry.find(reference)
    rule, _, result = rest.partition(".")
    if rule in steps and result in steps[rule]:
        return Field.model_construct(name=result, type=steps[rule][result], writable=False)
    if rule not in steps:
        raise UnknownRule(reference, rule, steps)
    raise UnknownField(reference, (f"steps.{r}.{name}" for r, results in steps.items() for name in results))
