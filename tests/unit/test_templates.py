"""The section *Templates* of the specification, sentence by sentence."""

import subprocess
import sys
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from domain.fields import Field, Steps, parse
from domain.standard_fields import standard
from domain.templates import Escape, TemplateError, check, references, render

REGISTRY = standard("deal").with_custom([Field(name="vip", type="boolean"),
                                         Field(name="renewal", type="date")])
STEPS: Steps = {"coupon": {"code": "text"}, "7-days": {"start": "datetime"}}
VALUES: dict[str, object] = {
    "record.title": "Big & <b>bold</b>", "record.amount": Decimal("1234.50"), "record.currency": "EUR",
    "record.vip": False, "record.renewal": date(2024, 2, 29),
    "record.created_at": datetime(2024, 5, 15, 22, 30, tzinfo=UTC),
    "contact.first_name": "Anna", "contact.email": ["a@x.com", "b@x.com"], "steps.coupon.code": "SALE-1",
}


def told(text: str, escape: Escape = "plain", locale: str = "en", **values: object) -> str:
    return render(text, VALUES | {name.replace("__", "."): value for name, value in values.items()},
                  escape=escape, zone="Europe/Berlin", locale=locale)


def problems(text: str) -> list[str]:
    return [f"{problem.place}: {problem.message}" for problem in check(text, REGISTRY, STEPS)]


# --- texts may quote fields and results ----------------------------------------------------------------

@pytest.mark.parametrize(("text", "expected"), [
    ("Hello {{ contact.first_name }}!", "Hello Anna!"),
    ("{{contact.first_name}}, {{ steps.coupon.code }}", "Anna, SALE-1"),
    ("{{ contact.email }}", "a@x.com, b@x.com"),
    ("{{ contact.email.first }} {{ contact.email[1] }} {{ contact.email.size }}", "a@x.com b@x.com 2"),
    ("{% for mail in contact.email %}<{{ mail }}>{% endfor %}", "<a@x.com><b@x.com>"),
    ("{% for mail in contact.phone %}x{% else %}none{% endfor %}", "none"),
    ("{% if record.amount > 1000 %}big{% elsif record.vip %}vip{% else %}small{% endif %}", "big"),
    ("{% unless record.vip %}normal{% endunless %}", "normal"),
    ("{% case record.currency %}{% when 'EUR', 'CHF' %}here{% else %}there{% endcase %}", "here"),
    ("a {{- record.currency -}} b", "aEURb"),
    ("one { brace } and 100 % {}", "one { brace } and 100 % {}"),
    ("", ""),
])
def test_texts_quote_fields_and_results(text: str, expected: str) -> None:
    assert told(text) == expected
    assert not problems(text)


@pytest.mark.parametrize(("text", "locale", "expected"), [
    ("{{ record.renewal | date }}", "en", "Feb 29, 2024"),
    ("{{ record.renewal | date: 'long' }}", "de-DE", "29. Februar 2024"),
    ("{{ record.renewal | date: '%d.%m.%Y, %A' }}", "fr", "29.02.2024, jeudi"),
    ("{{ record.created_at | date: '%Y-%m-%d %H:%M %-d%%' }}", "en", "2024-05-16 00:30 16%"),
    ("{{ record.created_at | time }}", "de", "00:30"),
    ("{{ record.amount | money }}", "de", "1.234,50\u00a0€"),
    ("{{ record.amount | money: 'USD' }}", "en", "$1,234.50"),
    ("{{ record.amount | number }}", "de", "1.234,5"),
    ("{{ contact.last_name | default: 'client' }}", "en", "client"),
    ("{{ contact.first_name | default: 'client' }}", "en", "Anna"),
    ("{{ record.vip | default: 'x' }}", "en", "false"),
    ("{{ contact.first_name | upcase }} {{ contact.first_name | downcase }}", "en", "ANNA anna"),
    ("{{ 'anna' | capitalize }} {{ '  x ' | strip }}", "en", "Anna x"),
    ("{{ 'abcdefghij' | truncate: 5 }} {{ 'abc' | truncate: 5 }} {{ 'abcdef' | truncate: 4, '..' }}", "en",
     "abcd… abc ab.."),
    ("{{ contact.email | join: ' or ' }} {{ contact.email | last }} {{ contact.email | size }}", "en",
     "a@x.com or b@x.com b@x.com 2"),
])
def test_filters_for_date_money_and_default(text: str, locale: str, expected: str) -> None:
    assert told(text, locale=locale) == expected
    assert not problems(text)


def test_a_value_without_filter_can_be_read_back() -> None:
    for reference in ("record.amount", "record.vip", "record.renewal", "record.created_at"):
        assert parse(REGISTRY.find(reference), told(f"{{{{ {reference} }}}}")) == VALUES[reference]


def test_what_a_template_reads_is_known() -> None:
    text = "{{ record.title }}{% if record.vip %}{{ steps['7-days'].start | date }}{% endif %}"
    assert references(text) == {"record.title", "record.vip", "steps.7-days.start"}
    assert references("{{ record.amount | money }}") == {"record.amount", "record.currency"}
    loop = "{% for m in contact.email %}{{ m }}{{ forloop.index }}{% endfor %}"
    assert references(loop) == {"contact.email"}


# --- an empty value, and a result of a rule that has not run, renders empty -----------------------------

@pytest.mark.parametrize("text", [
    "{{ contact.last_name }}", "{{ steps['7-days'].start | date }}",
    "{{ company.name | upcase | truncate: 3 }}",
    "{{ company.email.first }}", "{{ company.email | join: ', ' }}", "{{ record.source | money }}",
    "{% if company.name contains 'x' %}y{% endif %}", "{% if company.name > 'a' %}y{% endif %}",
])
def test_an_empty_value_renders_empty(text: str) -> None:
    assert told(text) == ""
    assert told(text, company__name=None, company__email=[], contact__last_name="") == ""


# --- errors when the rule is saved ---------------------------------------------------------------------

@pytest.mark.parametrize(("text", "part"), [
    ("\n{{ contact.frist_name }}",
     "line 2: there is no field 'contact.frist_name'; did you mean 'contact.first_n"),
    ("{{ steps.cupon.code }}", "no rule 'cupon' above in this stage; did you mean 'coupon'?"),
    ("{{ deal.title }}", "deal.title"),
    ("{{ record }}", "not the name of a field"),
    ("{{ record.title.length }}", "nothing can be read inside record.title"),
    ("{{ record[contact.first_name] }}", "write fields like"),
    ("{% if record.nope %}{% endif %}", "record.nope"),
    ("{{ record.title | default: contact.nope }}", "contact.nope"),
    ("{{ record.title | upcse }}", "there is upcase"),
    ("{{ record.title | safe }}", "no filter 'safe'"),
    ("{{ record.title | date }}", "'date' needs a date"),
    ("{{ record.title | money }}", "'money' needs a number"),
    ("{{ record.renewal | date: '%Q' }}", "'%Q'"),
    ("{{ record.renewal | date: '%9999999999d' }}", "'%9'"),
    ("{{ record.title | upcase: 1 }}", "other arguments"),
    ("{{ record.title | truncate: 'x' }}", "needs a length"),
    ("line\n\n{{ record.title", "line 3: expected '}}'"),
    ("{% if record.title %}\nx", "line 2"),
    ("{{ }}", "nothing stands between"),
    ("{% %}", "nothing stands between"),
    ("{{ record.title | }}", "line 1"),
    ("{% endif %}", "endif"),
])
def test_an_unknown_field_is_an_error_when_the_rule_is_saved(text: str, part: str) -> None:
    found = problems(text)
    assert len(found) == 1 and part in found[0]


def test_all_unknown_names_are_reported() -> None:
    found = problems("{{ record.a1 }}\n{{ record.b2 | nofilter }}\n{{ now }}")
    assert [line.split(":")[0] for line in sorted(found)] == ["line 1", "line 2", "line 2", "line 3"]


# --- sandboxed -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("text", [
    "{{ record.__class__ }}", "{{ record.title.__class__ }}", "{{ record['__class__'] }}",
    "{{ record.title.__class__.__mro__ }}", "{{ contact.email.append }}", "{{ record.items }}",
    "{{ record.amount.as_tuple }}", "{{ steps.coupon.__init__.__globals__ }}", "{{ forloop }}", "{{ self }}",
])
def test_no_attribute_walking(text: str) -> None:
    assert problems(text)
    with suppress(TemplateError):
        assert told(text) == ""


@pytest.mark.parametrize("text", [
    "{{ record.title() }}", "{{ now }}", "{{ today }}", "{{ 'now' | date }}", "{% include 'x' %}",
    "{% render 'x' %}", "{% assign a = 1 %}", "{% capture a %}{% endcapture %}", "{% liquid echo 1 %}",
    "{% tablerow x in contact.email %}{% endtablerow %}", "{% increment a %}", "{% cycle 'a', 'b' %}",
    "{% raw %}{% endraw %}", "{{ 'x' | append: 'x' }}", "{{ 'x' | replace: 'x', 'y' }}",
    "{{ 'eA==' | base64_decode }}",
    "{% for record in contact.email %}{{ record.title }}{% endfor %}", "{% for x in 'abc' %}{% endfor %}",
    "{% break %}", "{{ (1..3) }}",
])
def test_no_calls_no_clock_and_no_other_part_of_the_language(text: str) -> None:
    assert problems(text)
    with pytest.raises(TemplateError):
        told(text)


NESTED = "{% for a in contact.email %}" * 9 + "{{ a }}" + "{% endfor %}" * 9
LONG = "{{ record.title | upcase | downcase | upcase | truncate: 1 }}"
BOMBS = [
    "{% for i in (1..1000000000) %}x{% endfor %}",
    "{% for i in (1..1000000000) reversed %}x{% endfor %}",
    "{% if (1..1000000000) contains 1.5 %}x{% endif %}",
    NESTED,
    "{% for a in contact.email %}{% for b in contact.email %}{% endfor %}{% endfor %}" * 1200,
    "{% for a in contact.email %}" + "{{1}}" * 15_000 + "{% endfor %}",
    "{% for a in contact.email %}" + "{% if 1 == 2 %}{% endif %}" * 3000 + "{% endfor %}",
    "{% for a in contact.email %}{% for b in contact.email %}{{ record.created_at | date: '" + "%A" * 30
    + "' | size }}{% endfor %}{% endfor %}",
    LONG * 1500,
    "{% if record.title contains 'nowhere' %}{% endif %}" * 1900,
    "{{ record.title }}" * 5000,
    "{% if 1 %}" * 9000,
    "{{ " + "record[" * 60 + "1" + "]" * 60 + " }}",
    "{{ " + "9" * 450 + " | money }}",
    "{% if " + "1 and " * 2000 + "1 %}{% endif %}",
    "{{" * 50_000, "{{" + " " * 90_000, "{{" + " " * 90_000 + "}}", "{%" * 50_000, "{% raw %}" * 10_000,
    "{% comment %}" * 7000, "{{ '" * 20_000, "{{ x" + "[\"" * 200 + " }}", "x" * 100_001,
]


@pytest.mark.parametrize("text", BOMBS, ids=range(len(BOMBS)))
def test_time_and_output_are_bounded(text: str) -> None:
    many = [f"{n}@x.com" for n in range(1000)]
    with pytest.raises(TemplateError):
        told(text, contact__email=many, record__title="ab" * 50_000)


def test_an_ordinary_long_letter_is_not_refused() -> None:
    text = ("<p>" + "text " * 100 + "{{ contact.first_name | default: 'client' }}"
            "{{ record.renewal | date: 'long' }}"
            "{% for mail in contact.email %}<li>{{ mail | downcase }}</li>{% endfor %}</p>\n") * 40
    assert len(told(text, escape="html")) > 20_000


# --- values are escaped for where they go --------------------------------------------------------------

HTML = ["<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "' onclick='x",
        "</title><svg/onload=x>",
        "&lt;b&gt;", "{{ record.amount }}", "{% for %}", Markup("<b>said to be safe</b>")]


@pytest.mark.parametrize("value", HTML)
@pytest.mark.parametrize("text", [
    "{{ record.title }}", "{{ record.title | upcase }}", "{{ record.title | default: 'x' }}",
    "{{ contact.last_name | default: record.title }}", "{{ record.title | truncate: 60, '<!>' }}",
    "{{ contact.email }}", "{{ contact.email | join: '<br>' }}", "{{ contact.email | first | capitalize }}",
    "{% for mail in contact.email %}{{ mail }}{% endfor %}", "{{ record.amount | money: record.title }}",
    "{{ record.renewal | date: record.title }}", "{{ 'x' | truncate: 0, record.title }}",
])
def test_html_escapes_values(text: str, value: str) -> None:
    try:
        result = told(text, escape="html", record__title=value, contact__email=[value, value])
    except TemplateError as error:
        assert "date" in text, error
        return
    assert not set(result.replace("<br>", "")) & set("<>\"'")      # the author's own


def test_html_does_not_escape_the_text_of_the_author() -> None:
    text = "<p class=\"a\">Hi {{ contact.last_name | default: '<i>client</i>' }} & {{ record.title }}</p>"
    assert told(text, escape="html") == (
        "<p class=\"a\">Hi <i>client</i> & Big &amp; &lt;b&gt;bold&lt;/b&gt;</p>")
    assert told("{{ record.title }}") == "Big & <b>bold</b>"


def test_a_value_is_never_read_as_a_template() -> None:
    value = "{{ record.amount }}{% if %}"
    assert told("{{ record.title }}", record__title=value) == value


BREAKS = ["\r\n", "\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\r\n\r\n", "\n\t"]


@pytest.mark.parametrize("cut", BREAKS)
def test_a_header_stays_one_line(cut: str) -> None:
    result = told("Offer {{ record.title }}" + cut + "for you", escape="header",
                  record__title=f"x{cut}Bcc: all@example.com{cut}")
    assert result == "Offer x Bcc: all@example.com for you"
    message = EmailMessage()
    message["Subject"] = result
    assert "Bcc" not in message


def test_a_header_loses_what_cannot_be_seen() -> None:
    unseen = "a\x00b\x1b[31mc\u202ed\u2066e"
    assert told("{{ record.title }}", escape="header", record__title=unseen) == "ab[31mcde"


def test_no_text_carries_what_cannot_be_stored_or_sent() -> None:
    assert told("{{ record.title }}", record__title="a\x00b\ud800c") == "abc"


@settings(max_examples=200, deadline=None)
@given(value=st.text(), escape=st.sampled_from(["html", "header", "plain"]))
def test_any_value_is_safe_wherever_it_goes(value: str, escape: Escape) -> None:
    result = told("{{ record.title }}{{ record.title | truncate: 9 }}", escape=escape, record__title=value)
    result.encode()
    if escape == "html":
        assert not set(result) & set("<>\"'")
    if escape == "header":
        assert len(result.splitlines()) <= 1 and all(char.isprintable() or char > "\x9f" for char in result)


PIECES = st.sampled_from(["{{", "}}", "{%", "%}", "-", " ", "\n", "|", "'", '"', "if", "endif", "for", "in",
                          "endfor",
                          "record.title", "contact.email", "record", ".", "[", "]", ":", ",", "upcase",
                          "date",
                          "money", "default", "1", "case", "when", "else", "==", "contains", "and", "x",
                          "\u00e9"])


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=25).map(" ".join) | st.text(alphabet="{}%- |.'\"ifx1\n[]", max_size=30))
def test_whatever_an_author_writes_gives_a_text_or_a_template_error(text: str) -> None:
    found = check(text, REGISTRY, STEPS)
    try:
        told(text)
    except TemplateError:
        return
    assert found or references(text) <= {*REGISTRY.references()}


@pytest.mark.parametrize("word", ["blank", "empty", "nil", "null"])
def test_whatever_is_empty_equals_every_word_for_it(word: str) -> None:
    for name, empty, full in (("record.title", "", "x"), ("contact.email", [], ["a@b.example"])):
        for values, expected in (({name: empty}, "yes"), ({}, "yes"), ({name: full}, "no")):
            text = f"{{% if {name} == {word} %}}yes{{% else %}}no{{% endif %}}"
            assert render(text, values, escape="plain", zone="UTC", locale="en") == expected
            text = f"{{% if {name} != {word} %}}no{{% else %}}yes{{% endif %}}"
            assert render(text, values, escape="plain", zone="UTC", locale="en") == expected


def test_a_quoted_word_stays_a_text() -> None:
    said = "{{ 'empty' }} {% if record.title == 'blank' %}yes{% endif %}"
    assert render(said, {"record.title": "blank"}, escape="plain", zone="UTC", locale="en") == "empty yes"


@pytest.mark.parametrize("mark", ["{{1}}", "{% if record.title %}{% endif %}", "{{ record.title }}"])
def test_more_quotes_and_tags_than_anybody_writes_are_refused_at_once(mark: str) -> None:
    (found,) = check(mark * 20_000 if len(mark) == 5 else mark * 2_500, REGISTRY, STEPS)
    assert "at most 2000 quotes and tags" in found.message


def test_an_unknown_zone_or_locale_is_told() -> None:
    for zone, locale in (("Mars/Base", "en"), ("UTC", "xx_nowhere")):
        with pytest.raises(TemplateError):
            render("x", {}, escape="plain", zone=zone, locale=locale)


def test_liquid_is_loaded_only_with_the_first_template() -> None:
    program = "import sys, domain.templates, domain.conditions; sys.exit('liquid' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
