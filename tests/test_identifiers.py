"""Names as runbook.toml, SQL and keys spell them."""

from __future__ import annotations

import tomllib

import pytest

from runbook_lib.identifiers import toml
from runbook_lib.losses import losing


@pytest.mark.parametrize("name", ["public.t", 'public."Order Items".größe', "it's", 'a"\\b'])
def test_a_line_to_write_can_be_read_back(name: str) -> None:
    assert tomllib.loads(f"{toml(name)} = {toml(name)}") == {name: name}


def test_advice_about_a_quoted_name_is_toml() -> None:
    key = 'column:public."Order Items".qty'
    line = losing([key], "test").partition("say ")[2].partition(" in ")[0]
    assert tomllib.loads(line) == {"may_lose": [key]}
