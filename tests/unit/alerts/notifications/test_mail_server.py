"""SMTP_URL, taken apart."""

import pytest

from alerts.notifications.mail_server import Encryption, parse
from alerts.notifications.retry import DELAYS_S, delay_s


@pytest.mark.parametrize(
    ("url", "host", "port", "encryption"),
    [
        ("smtp://mail.example", "mail.example", 25, Encryption.OFFERED),
        ("smtp://mail.example:2525/", "mail.example", 2525, Encryption.OFFERED),
        ("smtp://u:p@mail.example", "mail.example", 587, Encryption.REQUIRED),
        ("smtp://u:p@mail.example?starttls=never", "mail.example", 587, Encryption.NEVER),
        ("smtp://mail.example?starttls=required", "mail.example", 25, Encryption.REQUIRED),
        ("smtps://u:p@mail.example", "mail.example", 465, Encryption.TLS),
        ("smtps://[2001:db8::1]:465", "2001:db8::1", 465, Encryption.TLS),
    ],
)
def test_what_it_says(url, host, port, encryption):
    relay = parse(url)
    assert (relay.host, relay.port, relay.encryption) == (host, port, encryption)


def test_an_account_may_have_any_letters_and_does_not_show():
    relay = parse("smtp://us%40er:p%2F%3A%25@mail.example")
    assert (relay.username, relay.password) == ("us@er", "p/:%")
    assert "p/:%" not in repr(relay)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mail.example", "must look like smtp://"),
        ("http://mail.example", "must look like smtp://"),
        ("smtp://", "must look like smtp://"),
        ("smtp://mail.example:port", "must look like smtp://"),
        ("smtp://mail.example:0", "must look like smtp://"),
        ("smtp://mail.example/box", "must look like smtp://"),
        ("smtp://mail.example?starttls=perhaps", "starttls=required, offered or never"),
        ("smtp://mail.example?verify=no", "starttls=required, offered or never"),
        ("smtps://mail.example?starttls=required", "smtps"),
        ("smtp://user@mail.example", "both user and password"),
    ],
)
def test_what_it_may_not_say(url, says):
    assert says in parse(url)


def test_a_notice_is_tried_for_about_a_day_and_not_for_ever():
    assert 24 * 3600 <= sum(DELAYS_S) <= 25 * 3600
    assert delay_s(1, 0.5) == 5.0
    assert (delay_s(1, 0.0), delay_s(1, 1.0)) == (4.0, 6.0)
    assert delay_s(len(DELAYS_S), 0.5) == 900.0
    assert delay_s(len(DELAYS_S) + 1, 0.5) is None
