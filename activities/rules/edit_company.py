"""`edit_company`: fields of the record's company are set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field, JsonValue

from activities.act import Act
from activities.assignments import Assignment, problems
from activities.client_edits import CLIENT_ERRORS, edit_client_of
from activities.effect import Done, Effect, Setting
from domain.fields import FieldType, Problem


class EditCompany(Effect):
    """Sets any number of fields of the record's company at once; history shows old and new values.

    `set` lists each `field` with its `value`, which may quote other fields; one that holds several, quoted
    alone, is copied whole. `how` says of each what is done: `set` replaces what the field holds, `append`
    adds to one that holds several, as `email` and `phone`, `remove` takes from it, `clear` empties it. With
    `append` that is what is done to fields of several where nothing is said. E-mail addresses are kept in
    lower case, phone numbers with their country. The company's other records follow.
    """

    kind: ClassVar[str] = "edit_company"
    title: ClassVar[str] = "Edit the company"
    example: ClassVar[dict[str, JsonValue]] = {
        "set": [{"field": "address", "value": "Rue de la Gare 3, Strasbourg"}]
    }
    executes: ClassVar[bool] = True
    results: ClassVar[dict[str, FieldType]] = {"changed": "text"}
    errors: ClassVar[dict[str, str]] = {"no_company": "the record has no company", **CLIENT_ERRORS}

    set: Annotated[list[Assignment], Field(min_length=1)]
    append: bool = False

    async def apply(self, act: Act) -> Done:
        return await edit_client_of(act, "company", self.set, append=self.append)

    def problems(self, setting: Setting) -> Iterator[Problem]:
        yield from problems(self.set, setting, "company")
