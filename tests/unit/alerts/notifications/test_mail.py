"""The mail itself: stable, threaded, and not to be broken out of."""

from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.notifications.mail import address, compose

AT = datetime(2026, 11, 21, 3, 45, tzinfo=UTC)
SENDER, TO = address("Dewarwatch <alerts@dewars.example>"), address("desk@clinic.example")
FIELDS = {
    "notification_id": "n1", "incident_id": "i1", "sender": SENDER, "to": TO, "to_name": "Night désk", "subject": "−150 °C",
    "text": "Hello −150 °C\n.\nend", "html": "<p>−150 °C</p>", "at": AT, "urgent": True,
}  # fmt: skip


def read(**changes):
    return message_from_bytes(bytes(compose(**{**FIELDS, **changes})), policy=policy.default)


def test_it_says_what_a_mail_of_a_machine_has_to_say():
    mail = read()
    assert mail["Message-ID"] == "<n1@dewars.example>"
    assert mail["References"] == mail["In-Reply-To"] == "<incident.i1@dewars.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["List-Id"] == "Dewarwatch alerts <dewarwatch-alerts.dewars.example>"
    assert (mail["Subject"], mail["Importance"]) == ("−150 °C", "high")
    assert mail["Date"].datetime == AT
    assert str(mail["To"]) == "Night désk <desk@clinic.example>"


def test_text_and_html_are_alternatives_text_first():
    mail = read()
    assert mail.get_content_type() == "multipart/alternative"
    plain, html = mail.iter_parts()
    assert plain.get_content().split() == ["Hello", "−150", "°C", ".", "end"]
    assert html.get_content().strip() == "<p>−150 °C</p>"


def test_what_is_no_incident_has_no_thread_and_what_is_not_critical_no_haste():
    mail = read(incident_id=None, urgent=False)
    assert not {"References", "In-Reply-To", "Importance", "X-Priority"} & set(mail.keys())


def test_the_same_notification_gives_the_same_bytes():
    assert bytes(compose(**FIELDS)) == bytes(compose(**FIELDS))


WORDS = st.lists(
    st.one_of(
        st.text(max_size=90),
        st.sampled_from(
            [
                "=?utf-8?q?a=22=3Call=40x.example=3E?=",
                "=?utf-8?q?h=0d=0aBcc:_a=40b.c?=",
                "désk, ",
                ' "x" <e@x>; ',
            ]
        ),
    ),
    max_size=5,
).map("".join)


@settings(deadline=None)
@given(WORDS, WORDS)
def test_no_text_adds_a_header_or_a_line_that_is_too_long(subject, name):
    raw = bytes(
        compose(**{**FIELDS, "subject": subject + "\r\nBcc: all@x.example\r\n\r\nx", "to_name": name})
    )
    mail = message_from_bytes(raw, policy=policy.default)
    assert set(mail.keys()) == set(read().keys())
    assert [one.addr_spec for one in mail["To"].addresses] == ["desk@clinic.example"]
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert raw.isascii()


@pytest.mark.parametrize(
    "text",
    [
        "", "desk", "@x.example", "desk@", "a@b@c", "a@x.example, b@x.example", "a@x.example\r\nBcc: b@x.example", "dësk@x.example",
        "desk@clinic.example\n", "<>", "x" * 250 + "@x.example", "a b@x.example", "desk@x.example\0",
        "a@[127.0.0.1]", "Desk <a@[IPv6:::1]>",
    ],
)  # fmt: skip
def test_what_is_no_address(text):
    assert isinstance(address(text), str)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("desk@x.example", "desk@x.example"),
        ("Night desk <desk@x.example>", "desk@x.example"),
        ('"Lee, Kim" <kim+night@x.example>', "kim+night@x.example"),
    ],
)
def test_what_is_one(text, spec):
    assert address(text).addr_spec == spec
