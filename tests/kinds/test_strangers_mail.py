"""A stranger's mail never acts as a client's: guessed ids, forged names, answers of somebody else."""

from __future__ import annotations

import pytest
from pydantic import SecretStr
from sqlalchemy import ARRAY, String, bindparam, text

from activities import senders
from activities.act import MailIdentity
from activities.house import House
from activities.message_ids import is_ours, message_id
from activities.reply_address import reply_address
from activities.runner import Run, Runner
from activities.steps import act
from tests import builders
from tests.builders import NOON
from tests.kinds.conftest import Desk
from tests.kinds.test_inbound_mail import (
    GUESSED,
    HOUSE,
    OURS,
    SECRET,
    SERVERS,
    WAIT,
    excepted,
    mail,
    sent,
    taken,
    told,
    waiting_deal,
    waits_still,
)


# -- strangers ---------------------------------------------------------------------------------------
async def test_a_guessed_message_id_leads_nowhere(desk: Desk) -> None:
    """Not even with a message of that id, as an installation without a secret once sent it."""
    deal = await waiting_deal(desk)
    await sent(desk, deal, GUESSED)
    received = await taken(desk, mail("thief@evil.example", In_Reply_To=GUESSED, References=GUESSED))
    assert (received.outcome, received.record) == ("unknown", None)
    assert await waits_still(desk, deal)


async def test_without_a_secret_no_thread_counts(desk: Desk) -> None:
    deal = await waiting_deal(desk)
    house = House(mail=MailIdentity("company.example", "crm@company.example"))
    guessed = message_id(SecretStr(""), "17.1.offer.0", "company.example")
    await sent(desk, deal, guessed)
    received = await taken(desk, mail("thief@evil.example", In_Reply_To=guessed), house=house)
    assert (received.outcome, received.record) == ("unknown", None)


def test_an_id_is_ours_only_with_its_own_mac() -> None:
    assert is_ours(SECRET, OURS)
    assert not is_ours(SECRET, OURS.replace("<17.", "<18."))
    assert not is_ours(SECRET, GUESSED)
    assert not is_ours(SecretStr("another"), OURS)
    assert not is_ours(SecretStr(""), message_id(SecretStr(""), "17.1.offer.0", "company.example"))
    assert not is_ours(SECRET, reply_address(SECRET, 17, "company.example"))
    assert message_id(SECRET, "17.1.offer.0", "company.example") == OURS, "retries share it"


@pytest.mark.parametrize("way", ["thread", "address"])
async def test_an_answer_of_somebody_else_is_attached_and_does_nothing(desk: Desk, way: str) -> None:
    deal = await waiting_deal(desk)
    await sent(desk, deal)
    to = reply_address(SECRET, deal, "company.example")
    headers = {"In_Reply_To": OURS} if way == "thread" else {"To": to}
    received = await taken(desk, mail("thief@evil.example", **headers))
    assert (received.outcome, received.record) == ("stranger", deal)
    assert await waits_still(desk, deal)
    assert await desk.rows("client_activity") == []
    ((who, said),) = await told(desk)
    assert who == "ada"
    assert "thief@evil.example" in said
    assert "none of its clients" in said


async def test_whoever_belongs_to_the_client_may_answer(desk: Desk) -> None:
    async with desk.database.transaction() as tx:
        company = await builders.client_company(tx, emails=["office@client.example"])
        clara = await builders.contact(tx, company_id=company, emails=["clara@client.example"])
        await builders.contact(tx, company_id=company, emails=["carl@client.example"])
        await builders.contact(tx, emails=["thief@evil.example"])
    for number, given in enumerate(({"contact": clara}, {"company": company})):
        deal = await desk.deal(**given, fields={"email": ["own@client.example"]})
        to = reply_address(SECRET, deal, "company.example")
        for sender in ("office", "clara", "carl", "own"):
            raw = mail(f"{sender}@client.example", To=to, Message_ID=f"<{sender}.{number}@c.example>")
            assert (await taken(desk, raw)).outcome == "activity", sender
        raw = mail("thief@evil.example", To=to, Message_ID=f"<thief.{number}@c.example>")
        assert (await taken(desk, raw)).outcome == "stranger"


async def test_a_record_that_names_its_client_itself_is_answered_too(desk: Desk) -> None:
    await desk.run(lambda tx: builders.rule_set(tx, {"new": [WAIT]}))
    deals = [await desk.deal(fields={"email": ["nora@new.example"]}) for _ in range(2)]
    for deal in deals:
        async with desk.locked(deal) as locked:
            runner = Runner(locked, HOUSE, desk.ids, NOON)
            assert (await act(runner, Run(1, "answer", turn=NOON, due=NOON))).result == "open"
            await runner.flush()
    received = await taken(desk, mail("Nora <NORA@new.example>"))
    assert (received.outcome, received.record) == ("activity", max(deals))
    assert [await waits_still(desk, deal) for deal in deals] == [False, False]
    assert (await desk.row("inbound_mail"))["matched"] == "sender"


# -- whose name it bears -----------------------------------------------------------------------------
DISOWNED = [
    "mx.company.example; spf=pass smtp.mailfrom=evil.example; dmarc=fail header.from=client.example",
    "MX.Company.Example 1; dmarc = fail (p=REJECT; sp=none) header.from=client.example",
    "mx.company.example; dkim=none;\r\n\tdmarc/1=FAIL (p=none (dis=none)) header.from=client.example",
    "(by) mx.company.example; dmarc=fail",
    'mx.company.example; auth=pass smtp.auth="a; dmarc=pass"; dmarc=fail header.from="client.example"',
]
NOT_DISOWNED = [
    "mx.company.example; dmarc=pass header.from=client.example",
    "mx.company.example; none",
    "mx.evil.example; dmarc=fail header.from=client.example",
    "mx.company.example.evil.example; dmarc=fail",
    "mx.company.example; dmarc=none; spf=fail",
    "mx.company.example; dmarc=pass (was dmarc=fail; dmarc=fail)",
    'mx.company.example; auth=pass smtp.auth="x; dmarc=fail"; dmarc=pass',
    "",
]


@pytest.mark.parametrize("said", DISOWNED)
async def test_a_sender_whom_its_domain_disowns_is_not_believed(desk: Desk, said: str) -> None:
    deal = await waiting_deal(desk)
    await sent(desk, deal)
    for number, headers in enumerate(({}, {"In_Reply_To": OURS})):
        raw = f"Authentication-Results: {said}\r\n".encode() + mail(Message_ID=f"<{number}@c.x>", **headers)
        received = await taken(desk, raw, servers=SERVERS)
        assert (received.outcome, received.record) == ("forged", deal if headers else None)
    assert await waits_still(desk, deal)
    ((who, said_),) = await told(desk)
    assert who == "ada"
    assert "clara@client.example" in said_


async def test_a_verdict_that_the_sender_wrote_takes_nothing_back(desk: Desk) -> None:
    await waiting_deal(desk)
    ok = b"Authentication-Results: mx.company.example; dmarc=pass header.from=client.example\r\n"
    fail = ok.replace(b"pass", b"fail")
    for number, heads in enumerate((ok + fail, fail + ok, ok * 3 + fail + ok * 3)):
        raw = heads + mail(Message_ID=f"<{number}@c.example>")
        assert (await taken(desk, raw, servers=SERVERS)).outcome == "forged"


@pytest.mark.parametrize("said", NOT_DISOWNED)
async def test_whatever_else_a_server_says_a_client_is_believed(desk: Desk, said: str) -> None:
    await waiting_deal(desk)
    raw = f"Authentication-Results: {said}\r\n".encode() + mail()
    assert (await taken(desk, raw, servers=SERVERS)).outcome == "activity"


async def test_an_employees_name_is_not_taken_either_and_of_two_authors_none(desk: Desk) -> None:
    deal = await waiting_deal(desk)
    head = b"Authentication-Results: mx.company.example; dmarc=fail\r\n"
    assert (await taken(desk, head + mail("ada@company.example"), servers=SERVERS)).outcome == "forged"
    for number, raw in enumerate((
        mail("thief@evil.example, clara@client.example"),
        b"From: thief@evil.example\r\n" + mail(),
        mail("nobody", Sender="clara@client.example"),
    )):  # fmt: skip
        another = raw.replace(b"<1@c.example>", b"<%d@d.example>" % number)
        assert (await taken(desk, another)).outcome == "unknown"
    assert await waits_still(desk, deal)


# -- the exception list ------------------------------------------------------------------------------
async def test_a_guessed_thread_leads_nobody_past_the_list(desk: Desk) -> None:
    deal = await waiting_deal(desk)
    await excepted(desk, "clara@client.example", "email")
    await sent(desk, deal, GUESSED)
    assert (await taken(desk, mail(In_Reply_To=GUESSED))).outcome == "quarantined"
    assert await waits_still(desk, deal)


async def test_who_holds_an_address_is_found_by_an_index(desk: Desk) -> None:
    async with desk.database.transaction() as tx:
        await tx.execute(text("set local enable_seqscan = off"))
        lists = (bindparam("emails", type_=ARRAY(String)), bindparam("phones", type_=ARRAY(String)))
        asked = text(f"explain {senders._CLIENT.text}").bindparams(*lists)
        plan = "\n".join((await tx.execute(asked, {"emails": ["a@b.example"], "phones": []})).scalars())
    assert "ix_record_own_email" in plan
    assert "Seq Scan on record" not in plan
