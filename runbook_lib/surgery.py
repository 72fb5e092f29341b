"""Surgery: change what a revision file says of itself, and keep every other byte of it.

Positions come from ``ast``; they are counted in UTF-8 bytes, so texts are cut as bytes.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence

from runbook_lib.source import assignments, evaluate, identifiers

BOM = "\ufeff"
Value = str | tuple[str, ...] | None


def parse(text: str) -> ast.Module:
    """Parse a revision file's text; a byte order mark is allowed. Raises SyntaxError."""
    return ast.parse(text.removeprefix(BOM))


def rebind(text: str, name: str, value: Sequence[str]) -> str:
    """Return the text with the module-level ``name`` bound to ``value``: (), one id or several.

    The docstring's own line on it is brought along where there is one.
    """
    node = _expression(text, name)
    if node is None:
        return _insert_after(text, f"{name} = {literal(value)}")
    if _is_shared(text, node):
        return _template_line(_insert_after(text, f"{name} = {literal(value)}"), name, value)
    changed = _replace(text, node, literal(value, like=_segment(text, node)))
    return _template_line(changed, name, value)


def rename(text: str, name: str, renamed: Mapping[str, str]) -> str:
    """Return the text with the ids that ``name`` is bound to renamed, one by one where it can."""
    node = _expression(text, name)
    if node is None:
        return text
    old = _bound(text, name)
    new = tuple(renamed.get(item, item) for item in old)
    if old == new:
        return text
    plain = _plain_items(node)
    if plain is None:
        return rebind(text, name, new)
    for item in reversed(plain):
        if item.value in renamed:
            one = renamed[str(item.value)]
            text = _replace(text, item, literal((one,), like=_segment(text, item)))
    return _template_line(text, name, new)


def literal(value: Sequence[str], like: str = "") -> str:
    """Return ids as a Python literal, in the quotes and brackets of the text ``like``."""
    quote = next((sign for sign in like if sign in "'\""), '"')
    items = [_quoted(item, quote) for item in value]
    if not items:
        return "None"
    if len(items) == 1:
        return items[0]
    start, end = ("[", "]") if like.startswith("[") else ("(", ")")
    return f"{start}{', '.join(items)}{end}"


def _quoted(item: str, quote: str) -> str:
    plain = item.isprintable() and not set(item) & {quote, "\\"}
    return f"{quote}{item}{quote}" if plain else repr(item)


def newline(text: str) -> str:
    """Return the line end that the text uses."""
    found = re.search(r"\r\n|\r|\n", text)
    return found.group() if found else "\n"


# --- where things stand -------------------------------------------------------------------


def _expression(text: str, name: str) -> ast.expr | None:
    """Return the expression that ``name`` is bound to last, or None."""
    found = [node for bound, node in assignments(parse(text)) if bound == name]
    return found[-1] if found else None


def _bound(text: str, name: str) -> tuple[str, ...]:
    value = identifiers(parse(text)).get(name)
    items = value if isinstance(value, tuple) else () if value is None else (value,)
    return tuple(str(item) for item in items)


def _is_shared(text: str, node: ast.expr) -> bool:
    """Return whether several names are bound by this one expression (``a = b = None``)."""
    where = (node.lineno, node.col_offset)
    same = [
        bound
        for bound, other in assignments(parse(text))
        if (other.lineno, other.col_offset) == where
    ]
    return len(same) > 1


def _plain_items(node: ast.expr) -> list[ast.Constant] | None:
    """Return the plain texts of an id or a sequence of ids, or None when there are others."""
    items = node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]
    plain = [item for item in items if isinstance(item, ast.Constant)]
    ordered = sorted(plain, key=lambda item: (item.lineno, item.col_offset))
    return ordered if len(plain) == len(items) else None


def _span(text: str, node: ast.expr | ast.stmt) -> tuple[int, int]:
    """Return the node's start and end as byte offsets into the text (its mark included)."""
    mark = len(BOM.encode()) if text.startswith(BOM) else 0
    data = text.removeprefix(BOM).encode(errors="surrogatepass")
    starts = [0, *(match.end() for match in re.finditer(rb"\r\n|\r|\n", data))]
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    first = starts[node.lineno - 1] + node.col_offset
    last = starts[node.end_lineno - 1] + node.end_col_offset
    return mark + first, mark + last


def _segment(text: str, node: ast.expr) -> str:
    start, end = _span(text, node)
    return text.encode(errors="surrogatepass")[start:end].decode(errors="surrogatepass")


def _replace(text: str, node: ast.expr, new: str) -> str:
    start, end = _span(text, node)
    return _splice(text, start, end, new)


def _splice(text: str, start: int, end: int, new: str) -> str:
    data = text.encode(errors="surrogatepass")
    changed = data[:start] + new.encode(errors="surrogatepass") + data[end:]
    return changed.decode(errors="surrogatepass")


def _insert_after(text: str, line: str) -> str:
    """Put a line of its own behind the last statement that binds one of the identifiers."""
    module, known = parse(text), ("revision", "down_revision", "depends_on", "branch_labels")
    nodes = [node for name, node in assignments(module) if name in known]
    last = max(
        (
            item
            for item in module.body
            if any(item.lineno <= node.lineno <= (item.end_lineno or 0) for node in nodes)
        ),
        key=lambda item: item.lineno,
    )
    _, end = _span(text, last)
    rest = text.encode(errors="surrogatepass")[end:].decode(errors="surrogatepass")
    comment = re.match(r"[^\r\n]*", rest)
    end += len(comment.group().encode(errors="surrogatepass")) if comment else 0
    return _splice(text, end, end, newline(text) + line)


# --- the docstring's lines ----------------------------------------------------------------

_TEMPLATE = {"revision": "Revision ID", "down_revision": "Revises", "depends_on": "Depends on"}


def _template_line(text: str, name: str, value: Sequence[str]) -> str:
    """Bring the docstring's "Revision ID:" or "Revises:" line along, where there is one."""
    body = parse(text).body
    if name not in _TEMPLATE or not body or not isinstance(body[0], ast.Expr):
        return text
    node = body[0].value
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
        return text
    old = _segment(text, node)
    pattern = rf"(?im)^([ \t\"']*{_TEMPLATE[name]}[ \t]*:)[ \t]*[^\r\n\"']*"
    new = re.sub(pattern, lambda found: f"{found.group(1)} {', '.join(value)}", old, count=1)
    return text if new == old or not _same_kind(new) else _replace(text, node, new)


def _same_kind(segment: str) -> bool:
    """Return whether the changed docstring is still one text literal."""
    try:
        return isinstance(evaluate(ast.parse(segment, mode="eval").body, {}), str)
    except (SyntaxError, ValueError):
        return False


# --- a new file ---------------------------------------------------------------------------


def revision_text(
    *,
    revision_id: str,
    down_revisions: Sequence[str],
    doc: str,
    statements: str = "",
    upgrade: str = "pass",
    downgrade: str = "pass",
) -> str:
    """Return the text of a revision file in Alembic's own layout."""
    purpose = doc.replace("\\", "\\\\").replace('"', "'").strip() or "A revision of the runbook"
    imports = "import sqlalchemy as sa\nfrom alembic import op\n\n" if statements else ""
    return (
        f'"""{purpose}\n\nRevision ID: {revision_id}\n'
        f'Revises: {", ".join(down_revisions)}\n\n"""\n\n'
        f"{imports}# revision identifiers, used by Alembic.\n"
        f"revision = {literal((revision_id,))}\n"
        f"down_revision = {literal(down_revisions)}\n"
        "branch_labels = None\ndepends_on = None\n"
        f"{statements}\n\n"
        f"def upgrade() -> None:\n    {upgrade}\n\n\n"
        f"def downgrade() -> None:\n    {downgrade}\n"
    )
