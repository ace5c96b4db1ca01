"""Tokens: how they are made, held and compared, and the verb that makes them."""

from __future__ import annotations

import hashlib
import hmac
import re

import pytest
import yaml
from known import ADMIN, HOLDERS, READ

from oddframe.cli import main
from oddframe.errors import ConfigError
from oddframe.runtime.watch.site import SiteConfig, WebConfig
from oddframe.web.guard import tokens
from oddframe.web.guard.auth import access_of
from oddframe.web.guard.tokens import hashed, holder_of, made

HASH = hashed(ADMIN)


def test_a_token_has_192_random_bits_and_is_another_each_time():
    found = {made() for _ in range(100)}
    assert len(found) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{32}", token) for token in found)


def test_what_is_kept_is_the_hash():
    assert f"sha256:{hashlib.sha256(ADMIN.encode()).hexdigest()}" == HASH
    assert ADMIN not in repr(HOLDERS)
    assert HOLDERS[0].digest.hex() not in repr(HOLDERS)


def test_whose_token_it_is():
    assert [holder_of(HOLDERS, t).name for t in (ADMIN, READ)] == ["boss", "wall"]
    for wrong in ("", ADMIN[:-1], f"{ADMIN} ", HASH, "\ud800", "ü" * 40):
        assert holder_of(HOLDERS, wrong) is None


@pytest.mark.parametrize("token", [ADMIN, READ, "wrong"])
def test_every_hash_is_compared_in_constant_time_whichever_is_right(monkeypatch, token):
    compared = []

    def counted(a, b):
        compared.append((len(a), len(b)))
        return real(a, b)

    real = hmac.compare_digest
    monkeypatch.setattr(tokens.hmac, "compare_digest", counted)
    holder_of(HOLDERS, token)
    assert compared == [(32, 32)] * len(HOLDERS)


# ---- in SITE.yaml


def web(**more):
    return WebConfig.read({"host": "0.0.0.0", **more})


def test_tokens_of_a_site_are_known_with_their_roles():
    known = web(token=READ + "-2", tokens=[{"name": "wall", "role": "read", "hash": HASH}])
    access = access_of(known)
    assert [(h.name, h.role) for h in access.holders] == [("token", "admin"), ("wall", "read")]
    assert holder_of(access.holders, ADMIN).name == "wall"


def test_one_of_them_is_enough_for_other_machines():
    assert access_of(web(tokens=[{"name": "wall", "hash": HASH.upper().replace("SHA", "sha")}]))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"name": "a b", "hash": HASH}, "letters, digits"),
        ({"name": "", "hash": HASH}, "letters, digits"),
        ({"hash": HASH}, "letters, digits"),
        ({"name": "here", "hash": HASH}, "cannot be named here"),
        ({"name": "token", "hash": HASH}, "cannot be named token"),
        ({"name": "a", "hash": ADMIN}, "64 hexadecimal digits"),
        ({"name": "a", "hash": 4711}, "64 hexadecimal digits"),
        ({"name": "a", "hash": {"token": ADMIN}}, "64 hexadecimal digits"),
        ({"name": "a", "token": ADMIN}, "64 hexadecimal digits"),
        ({"name": "a", "hash": HASH, "role": "boss"}, "read"),
    ],
)
def test_what_is_no_token_is_refused_and_not_shown(values, text):
    with pytest.raises(ConfigError, match=text) as caught:
        web(tokens=[values])
    assert ADMIN not in str(caught.value)
    assert "4711" not in str(caught.value)


@pytest.mark.parametrize("same", ["name", "hash"])
def test_each_token_is_there_once(same):
    first = {"name": "a", "hash": HASH}
    second = {"name": "b", "hash": hashed(READ), same: first[same]}
    with pytest.raises(ConfigError, match=f"two tokens have the same {same}"):
        web(tokens=[first, second])


# ---- oddframe token


def test_the_verb_prints_a_token_and_the_lines_that_let_it_in(capsys):
    assert main(["token", "wall", "--role", "admin"]) == 0
    out = capsys.readouterr().out
    token = re.search(r"(?m)^    ([\w-]{32})$", out)[1]
    assert out.count(token) == 1
    lines = yaml.safe_load(out[out.index("web:") :])
    cameras = {"gate": {"source": 0, "detect": {"model": "RUN"}}}
    [known] = access_of(SiteConfig.read({**lines, "cameras": cameras}).web).holders
    assert holder_of([known], token) is known
    assert (known.name, known.role) == ("wall", "admin")


def test_a_token_that_is_not_said_otherwise_only_looks(capsys):
    assert main(["token", "1234"]) == 0
    assert '{name: "1234", role: read, hash: "sha256:' in capsys.readouterr().out


@pytest.mark.parametrize("words", [["a/b"], ["here"], ["a", "--role", "root"]])
def test_a_token_that_no_site_would_take_is_not_made(capsys, words):
    assert main(["token", *words]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
