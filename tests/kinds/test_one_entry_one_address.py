"""One entry is one address: whoever controls a name, a title, any value, adds no recipient."""

from __future__ import annotations

from typing import Any

import pytest

from activities.act import Act
from activities.mailboxes import of_entry
from activities.providers.mime import Mailbox, mailbox
from db.creation import NewRecord, create
from db.records import By
from domain.errors import Refused
from domain.rule import Rule
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk, refused_on_save
from tests.kinds.test_send_email import addresses, compose, parsed

NAMES = [
    "thief@evil.example, Bob", "thief@evil.example; Bob", "Bob <thief@evil.example>, Bob",
    '" <thief@evil.example>, "', "Bob <thief@evil.example", "thief@evil.example>", "thief@evil.example,",
    "Bob\\", "&lt;thief@evil.example&gt;, Bob", "thief@evil.example\r\nBcc: thief@evil.example",
    "O'Hara & Co",
]  # fmt: skip
ENTRIES = [
    "{{ contact.first_name }} <{{ contact.email.first }}>",
    '"{{ contact.first_name }}" <{{ contact.email.first }}>',
    "Klein, {{ contact.first_name }} <{{ contact.email.first }}>",
    "{% if contact.first_name %}{{ contact.first_name }} <{{ contact.email.first }}>{% endif %}",
]


async def known_as(desk: Desk, name: str, **more: Any) -> int:
    async with desk.database.transaction() as tx:
        contact = await builders.contact(tx, first_name=name, **more)
    return await desk.deal(contact=contact)


async def test_a_name_adds_nobody_and_changes_no_address(desk: Desk) -> None:
    for name in NAMES:
        deal = await known_as(desk, name)
        for entry in ENTRIES:
            composed = await compose(desk, deal, to=[entry], sender=entry, reply_to=entry)
            assert addresses(composed) == ["clara@client.example"], (name, entry)
            message = parsed(composed)
            for header in ("To", "From", "Reply-To"):
                assert [a.addr_spec for a in message[header].addresses] == ["clara@client.example"]


async def test_a_name_in_place_of_an_address_is_nobody(desk: Desk) -> None:
    for name in NAMES:
        deal = await known_as(desk, name)
        for entry in ("{{ contact.first_name }}", "Clara <{{ contact.first_name }}>"):
            with pytest.raises(Refused) as refusal:
                await compose(desk, deal, to=[entry])
            assert refusal.value.reason == "no_address"


async def test_nor_does_it_invite_anybody_to_a_meeting(desk: Desk) -> None:
    for name in NAMES:
        await desk.does(await known_as(desk, name), "schedule_meeting", participants=[ENTRIES[0]])
    assert {tuple(row["guests"]) for row in await desk.rows("meeting")} == {("clara@client.example",)}


async def test_a_name_is_shown_as_it_is(desk: Desk) -> None:
    deal = await known_as(desk, 'Clara "CK" <Klein>, O\'Hara & Co')
    async with desk.locked(deal) as locked:
        act = Act(locked, 1, Rule(id="offer", kind="send_email", params={}), 0, NOON, desk.ids)
        assert of_entry(act, ENTRIES[0]) == [
            Mailbox("clara@client.example", 'Clara "CK" <Klein>, O\'Hara & Co')
        ]


async def test_a_name_with_a_comma_works_in_quotes(desk: Desk) -> None:
    vogt = '"Vogt, Hannes" <hv@x.example>'
    composed = await compose(desk, await desk.deal(), to=[vogt], sender=vogt, reply_to=vogt)
    message = parsed(composed)
    assert addresses(composed) == ["hv@x.example"]
    for header in ("To", "From", "Reply-To"):
        (box,) = message[header].addresses
        assert (box.display_name, box.addr_spec) == ("Vogt, Hannes", "hv@x.example")
    assert refused_on_save("send_email", subject="Hi", text="Ho", to=[vogt], sender=vogt, reply_to=vogt) == {}
    assert mailbox(r'"Vogt \"HV\", Hannes" <hv@x.example>').name == 'Vogt "HV", Hannes'


async def test_a_field_quoted_whole_gives_each_of_its_values(desk: Desk) -> None:
    both = ["clara@client.example", "c@home.example"]
    deal = await known_as(desk, "Clara", emails=both)
    assert addresses(await compose(desk, deal, to=[" {{ contact.email }}"])) == both
    for entry in ("{{ contact.email | default: 'x@y.example' }}", "Clara <{{ contact.email }}>"):
        with pytest.raises(Refused, match="without an e-mail address"):
            await compose(desk, deal, to=[entry])


@pytest.mark.parametrize(
    "entry",
    [
        "a@b.example, c@d.example",
        "a@b.example; c@d.example",
        "a@b.example, Bob <c@d.example>",
        "Vogt, Hannes <hv@x.example>",
        "{{ contact.email.first }}, {{ record.email.first }}",
        "Vogt, {{ contact.first_name }} <{{ contact.email.first }}>",
        "Clara <{{ contact.email }}>",
        "{% for one in contact.email %}{{ one }} {% endfor %}",
        "{{ contact.email | join: ' ' }}",
    ],
)
def test_what_would_be_several_is_refused_on_save(entry: str) -> None:
    text = {"subject": "Hi", "text": "Ho"}
    for field in ("to", "cc"):
        assert set(refused_on_save("send_email", **text, **{field: [entry]})) == {f"/{field}/0"}
    for field in ("sender", "reply_to"):
        assert set(refused_on_save("send_email", **text, **{field: entry})) == {f"/{field}"}
    assert set(refused_on_save("schedule_meeting", participants=[entry])) == {"/participants/0"}


def test_of_numbers_too() -> None:
    for entry in ("{{ contact.phone | join: ',' }}", "{{ contact.phone }} {{ record.title }}"):
        assert set(refused_on_save("send_sms", text="Hi", recipients=[entry])) == {"/recipients/0"}
    assert refused_on_save("send_sms", text="Hi", recipients=["{{ contact.phone }}"]) == {}


async def test_a_contact_gets_no_address_that_a_value_hides(desk: Desk) -> None:
    own = {"first_name": "thief@evil.example, Bob", "email": ["clara@client.example"]}
    lead = await desk.lead(fields=own)
    await desk.does(lead, "create_contact", emails="{{ record.email }}, {{ record.first_name }}")
    assert (await desk.row("contact"))["emails"] == ["clara@client.example"]


# -- a field of type e-mail ----------------------------------------------------------------------------
@pytest.mark.parametrize("written", ["a@b.example, c@d.example", "Bob <a@b.example>", "nobody"])
async def test_a_field_of_type_email_holds_one_address(desk: Desk, written: str) -> None:
    deal = await known_as(desk, written)
    for kind in ("edit_record", "edit_contact"):
        for value in (written, "{{ contact.first_name }}"):
            for append in (False, True):
                with pytest.raises(Refused) as refusal:
                    await desk.does(deal, kind, set=[{"field": "email", "value": value}], append=append)
                assert refusal.value.reason == "wrong_type"
    new = {"type": "deal", "pipeline": "sales", "title": "Stairs", "fields": {"email": [written]}}
    with pytest.raises(Refused) as refusal:
        await desk.run(lambda tx: create(tx, desk.ids, NewRecord.model_validate(new), By("ada", NOON)))
    assert refusal.value.reason == "wrong_type"


async def test_it_is_kept_in_the_one_form(desk: Desk) -> None:
    deal = await desk.deal()
    await desk.does(deal, "edit_record", set=[{"field": "email", "value": " Clara@Client.EXAMPLE "}])
    assert (await desk.record(deal))["fields"]["email"] == ["clara@client.example"]
