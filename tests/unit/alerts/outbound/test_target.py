import pytest

from alerts.outbound.target import Target, parse


@pytest.mark.parametrize(
    ("url", "host", "port", "encrypted"),
    [
        ("https://partner.example/hook?tenant=7", "partner.example", 443, True),
        ("https://PARTNER.example:8443", "partner.example", 8443, True),
        ("http://10.0.0.1/hook", "10.0.0.1", 80, False),
        ("https://[2606:4700::1111]/", "2606:4700::1111", 443, True),
        ("https://büro.example/", "xn--bro-hoa.example", 443, True),
        ("https://my_host.example./x", "my_host.example.", 443, True),
        ("https://4chan.example/", "4chan.example", 443, True),
    ],
)
def test_a_url_is_taken_apart(url: str, host: str, port: int, encrypted: bool) -> None:
    target = parse(url)
    assert isinstance(target, Target), target
    assert (target.host, target.port, target.encrypted) == (host, port, encrypted)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://partner.example/" + "x" * 2000, "at most 2000"),
        ("https://partner.example/a b", "blanks"),
        ("ftp://partner.example/", "begin with https"),
        ("partner.example/hook", "begin with https"),
        ("https:///hook", "such as https"),
        ("https://partner.example:0/", "such as https"),
        ("https://partner.example:65536/", "such as https"),
        ("https://93.184.215.14:22/", "port below 1024"),
        ("https://partner.example:25/", "port below 1024"),
        ("https://partner.example:1023/", "port below 1024"),
        ("https://user:secret@partner.example/", "user or password"),
        ("https://@partner.example/", "user or password"),
        ("https://partner.example/#top", "fragment"),
        ("https://2130706433/", "plain form"),
        ("https://0x7f.1/", "plain form"),
        ("https://127.1/", "plain form"),
        ("https://127.0.0.1./", "plain form"),
        ("https://-bad.example/", "not a name"),
        ("https://a..example/", "not a name"),
    ],
)
def test_what_is_wrong_is_said(url: str, says: str) -> None:
    told = parse(url)
    assert isinstance(told, str)
    assert says in told


def test_the_url_that_is_kept_is_the_one_that_was_checked() -> None:
    target = parse("https://PARTNER.example:443/hook")
    assert isinstance(target, Target)
    assert parse(target.url) == target
