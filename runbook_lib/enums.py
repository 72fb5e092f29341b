"""Enums: values that a revision adds and uses in one transaction, which PostgreSQL refuses. Pure.

The repair lets ``ALTER TYPE … ADD VALUE`` commit in an ``autocommit_block`` of Alembic's, where it
stands in the file. It says IF NOT EXISTS then, since what is committed by itself stays when the
rest fails. Whether the file runs after it is for the replay to prove.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from runbook_lib import surgery
from runbook_lib.bodies import Function

_UNSAFE = re.compile(r"unsafe use of new value|UnsafeNewEnumValueUsage|\b55P04\b")
_ADDS = re.compile(r"\s*ALTER\s+TYPE\s+[^;]+?\s+ADD\s+VALUE\b[^;]*;?\s*", re.IGNORECASE)
_PLAIN = re.compile(r"(\bADD\s+VALUE)\b(?!\s+IF\s+NOT\s+EXISTS\b)", re.IGNORECASE)
_SENDERS = ("execute", "exec_driver_sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """Neighbouring statements of upgrade() that only add values: lines from 1, ends included."""

    first: int
    last: int
    inner: frozenset[int]


def uncommitted(error: str) -> bool:
    """Whether a statement failed for using an enum's value in the transaction that added it."""
    return bool(_UNSAFE.search(error))


def split(text: str) -> str:
    """Return the revision file with every ADD VALUE of upgrade() in an autocommit_block.

    "" where no statement of upgrade() plainly adds a value and does nothing else.
    """
    module = surgery.parse(text)
    upgrade, op = _upgrade(module), _alembic_op(module)
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    if upgrade is None or not op:
        return ""
    blocks = tuple(_blocks(upgrade))
    if any(_shares_lines(item, blocks) for item in upgrade.body):
        return ""
    for block in reversed(blocks):
        start = re.match(r"[ \t]*", lines[block.first - 1])
        indent = start.group() if start else ""
        step = "\t" if "\t" in indent else "    "
        inside = [
            line if number in block.inner or not line.strip() else step + line
            for number, line in enumerate(lines[block.first - 1 : block.last], block.first)
        ]
        header = f"{indent}with {op}.get_context().autocommit_block():{surgery.newline(text)}"
        safe = _PLAIN.sub(r"\1 IF NOT EXISTS", "".join(inside))
        lines[block.first - 1 : block.last] = [header, safe]
    changed = "".join(lines)
    return changed if changed != text and _same(text, changed) else ""


def _upgrade(module: ast.Module) -> Function | None:
    found = [item for item in module.body if isinstance(item, Function) and item.name == "upgrade"]
    return found[-1] if found else None


def _alembic_op(module: ast.Module) -> str:
    """Return the name by which the file calls ``alembic.op``, "" when it imports none."""
    for item in module.body:
        if isinstance(item, ast.ImportFrom) and item.module == "alembic":
            for alias in item.names:
                if alias.name == "op":
                    return alias.asname or alias.name
    return ""


def _blocks(upgrade: Function) -> Iterator[_Block]:
    waiting: list[ast.stmt] = []
    for item in (*upgrade.body, None):
        if item is not None and _adds_values(item):
            waiting.append(item)
        elif waiting:
            yield _block(waiting)
            waiting = []


def _shares_lines(item: ast.stmt, blocks: Collection[_Block]) -> bool:
    """Whether another statement stands on a line of a block: it would move along."""
    return not _adds_values(item) and any(
        item.lineno <= block.last and block.first <= (item.end_lineno or item.lineno)
        for block in blocks
    )


def _adds_values(item: ast.stmt) -> bool:
    """Whether the statement, or a loop over such, sends SQL that adds a value, and no other."""
    if not isinstance(item, ast.Expr | ast.For):
        return False
    calls = [node for node in ast.walk(item) if isinstance(node, ast.Call)]
    sent = [call for call in calls if _name(call) in _SENDERS]
    return bool(sent) and all(_ADDS.fullmatch(_sql(call)) for call in sent)


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _sql(node: ast.expr) -> str:
    """Return the text that is sent, as far as it is constant; what is computed is a word."""
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=parts) | ast.Call(args=parts):
            return "".join(map(_sql, parts))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _sql(left) + _sql(right)
    return "computed"


def _block(items: list[ast.stmt]) -> _Block:
    first, last = items[0].lineno, items[-1].end_lineno or items[-1].lineno
    texts = [
        node
        for item in items
        for node in ast.walk(item)
        if isinstance(node, ast.Constant | ast.JoinedStr)
    ]
    inner = {
        line for node in texts for line in range(node.lineno + 1, (node.end_lineno or 0) + 1)
    }  # a line that begins within a text must not move
    return _Block(first=first, last=last, inner=frozenset(inner))


def _same(before: str, after: str) -> bool:
    """Whether both do the same but for the blocks and IF NOT EXISTS."""
    try:
        return _shape(before) == _shape(after)
    except SyntaxError:
        return False


def _shape(text: str) -> str:
    module = surgery.parse(text)
    upgrade = _upgrade(module)
    if upgrade is not None:
        upgrade.body = [one for item in upgrade.body for one in _opened(item)]
    return re.sub(r"(?i)(ADD\s+VALUE) IF NOT EXISTS", r"\1", ast.dump(module))


def _opened(item: ast.stmt) -> list[ast.stmt]:
    is_block = isinstance(item, ast.With) and "autocommit_block" in ast.dump(item.items[0])
    return item.body if is_block and isinstance(item, ast.With) else [item]
