"""E-mail addresses and phone numbers in the one form in which they are kept."""

from __future__ import annotations

import pytest

from domain.addresses import email, is_domain, phone


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (" Clara@Client.EXAMPLE \n", "clara@client.example"),
        ("first.last+tag@sub.client.example", "first.last+tag@sub.client.example"),
        ("o'hara@client.example", "o'hara@client.example"),
        ("jörg@münchen.example", "jörg@münchen.example"),
        ("root@localhost", "root@localhost"),
        ("a" * 64 + "@client.example", "a" * 64 + "@client.example"),
    ],
)
def test_an_address_is_trimmed_and_in_lower_case(written: str, kept: str) -> None:
    assert email(written) == kept
    assert email(kept) == kept


@pytest.mark.parametrize(
    "written",
    [
        "", " ", "clara", "@client.example", "clara@", "a b@client.example", "a@b@client.example",
        "clara@client..example", "clara@.example", "clara@-client.example", "clara@client_1.example",
        ".clara@client.example", "clara.@client.example", "c..k@client.example", "a\nb@client.example",
        "clara@client.example\nbcc: x@y.example", "Clara <clara@client.example>", '"a b"@client.example',
        "clara@[127.0.0.1]", "a@client.example, b@client.example", "a\0@client.example",
        "a" * 65 + "@client.example", "a@" + "b" * 64 + ".example", "a@" + ".".join(["b" * 60] * 5),
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is no e-mail address"):
        email(written)


def test_a_domain_is_told_from_what_is_none() -> None:
    assert [is_domain(text) for text in ("client.example", "client", "client.", "", "a b.example")] == [
        True, True, False, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("written", "region", "kept"),
    [
        ("030 901820", "DE", "+4930901820"),
        ("030 901820", "de", "+4930901820"),
        ("01 42 68 53 00", "FR", "+33142685300"),
        ("+49 (0) 30 / 90 18 20", "FR", "+4930901820"),
        ("0033 1 42 68 53 00", "DE", "+33142685300"),
        ("tel:+49-30-901820", "DE", "+4930901820"),
        ("+1 650-253-0000 ext. 5", "DE", "+16502530000"),
        ("+390612345678", "DE", "+390612345678"),
    ],
)
def test_a_number_has_its_country_that_of_the_region_where_it_names_none(
    written: str, region: str, kept: str
) -> None:
    assert phone(written, region) == kept
    assert phone(kept, "US") == kept


@pytest.mark.parametrize(
    "written",
    ["", " ", "call me", "12", "112", "+", "+999 12345678", "0" * 30, "030 901820 " * 20, "1\0" * 5],
)
def test_what_can_be_no_number_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is no phone number"):
        phone(written, "DE")
