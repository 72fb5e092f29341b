"""Addresses and their secrets: what is masked, in which forms, and what is left alone."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.dsn import MASK, Dsn, is_weak, redact, secret_forms
from runbook_lib.errors import ConfigurationError

SECRET = "S3cret/with@odd:chars?x#1"

letters = st.characters(exclude_categories=("C", "Z"), include_characters=" ")
secrets = st.text(letters, min_size=8, max_size=24).filter(lambda text: not is_weak(text))


@given(before=st.binary(max_size=7), secret=secrets, after=st.binary(max_size=7))
def test_a_secret_is_found_in_base64_wherever_it_stands(
    before: bytes, secret: str, after: bytes
) -> None:
    stream = before + secret.encode() + after
    forms = secret_forms(secret)
    assert any(form in base64.b64encode(stream).decode() for form in forms)
    assert any(form in base64.urlsafe_b64encode(stream).decode() for form in forms)


@given(secret=secrets)
def test_no_escaped_form_survives_redaction(secret: str) -> None:
    for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1], secret.encode().hex()):
        assert form not in redact(f"before {form} after", [secret])


@pytest.mark.parametrize("fragment", ["with@odd:chars?x#1", "S3cret", "chars?x#1", "S3cret/with"])
def test_fragments_that_drivers_print_are_masked(fragment: str) -> None:
    message = f'could not translate host name "{fragment}" to address'
    assert redact(message, [SECRET]) == f'could not translate host name "{MASK}" to address'


def test_a_short_base64_form_does_not_match_by_chance() -> None:
    forms = secret_forms("ab&d")
    assert "YWImZA==" in forms
    assert all(len(form) >= 4 for form in forms)
    assert "YWImZ" not in forms


@pytest.mark.parametrize("word", ["postgres", "abc", "tondeka", "1234", "true", "a1b2c3d"])
def test_a_password_that_is_a_plain_word_is_masked_in_its_place_only(word: str) -> None:
    text = f"postgresql://{word}:{word}@db/x {word}ql password={word} 'password': '{word}'"
    shown = redact(text, [word], names=["tondeka"])
    assert shown == (
        f"postgresql://{word}:{MASK}@db/x {word}ql password={MASK} 'password': '{MASK}'"
    )


def test_the_password_of_an_unknown_url_is_masked_up_to_its_last_at_sign() -> None:
    assert redact("at postgresql+asyncpg://u:p@s:s@host/db now", []) == (
        f"at postgresql+asyncpg://u:{MASK}@host/db now"
    )


def test_an_address_never_shows_its_password() -> None:
    dsn = Dsn.parse(f"postgresql://app:{quote(SECRET, safe='')}@db.example:5433/wallet")
    assert dsn.password == SECRET
    assert dsn.redacted == f"postgresql://app:{MASK}@db.example:5433/wallet"
    assert SECRET not in f"{dsn} {dsn!r}"
    assert dsn.environ()["PGPASSWORD"] == SECRET


@pytest.mark.parametrize(
    "text",
    [
        *("mysql://u:hunter22@h/db", "postgresql://u:hunter22@h", "hunter22"),
        "postgresql://u:Xk9@hunter22@db.example/app",  # what follows the first @ is no host
    ],
)
def test_a_wrong_address_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Dsn.parse(text)
    assert "hunter22" not in str(caught.value)


def test_a_password_in_the_query_is_one() -> None:
    dsn = Dsn.parse(f"postgresql:///wallet?host=db&user=app&password={quote(SECRET, safe='')}")
    assert (dsn.user, dsn.password) == ("app", SECRET)
    assert dsn.redacted == f"postgresql://app:{MASK}@db:5432/wallet"


@pytest.mark.parametrize("times", [2, 3])
def test_what_is_encoded_again_is_masked_whole(times: int) -> None:
    form = SECRET
    for _ in range(times):
        form = quote(form, safe="")
    assert redact(f"next={form}&x", [SECRET]) == f"next={MASK}&x"


def test_a_socket_address_is_shown_without_its_folder() -> None:
    dsn = Dsn.parse("postgresql://app@/wallet?host=/tmp/somewhere")
    assert dsn.host == "/tmp/somewhere"
    assert dsn.redacted == "postgresql://app@socket/wallet"
