"""Bodies: what a revision file's functions do, as far as their text shows it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

Function = ast.FunctionDef | ast.AsyncFunctionDef
_MAY_COMMIT = ("commit", "COMMIT", "Commit", "rollback", "ROLLBACK", "END")


def does_something(function: Function) -> bool:
    """Return whether a function is more than a docstring, pass, raise or an empty return."""
    return any(not _idle(item) for item in function.body)


def says_why(function: Function) -> bool:
    """Return whether a function that does nothing has a docstring of its own, and does not raise.

    Alembic's template writes "Downgrade schema.", which is no reason.
    """
    docstring = ast.get_docstring(function) or "downgrade"
    raises = any(isinstance(item, ast.Raise) for item in function.body)
    return not raises and not docstring.strip().lower().startswith("downgrade")


def _idle(item: ast.stmt) -> bool:
    if isinstance(item, ast.Return):
        return item.value is None or isinstance(item.value, ast.Constant)
    return isinstance(item, ast.Pass | ast.Raise) or (
        isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant)
    )


class Body:
    """The calls and with-items of a module's functions; each function is walked at most once."""

    def __init__(self, functions: Mapping[str, Function]) -> None:
        self.functions = functions
        self.walked: dict[str, tuple[ast.Call | ast.withitem, ...]] = {}

    def of(self, start: str) -> Iterator[ast.Call | ast.withitem]:
        """Yield those of a function and of the module's functions that it calls, in order."""
        seen, waiting = {start}, [start]
        while waiting:
            for node in self._walk(waiting.pop(0)):
                yield node
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    name = node.func.id
                    if name in self.functions and name not in seen:
                        seen.add(name)
                        waiting.append(name)

    def _walk(self, name: str) -> tuple[ast.Call | ast.withitem, ...]:
        if name not in self.walked:
            found = self.functions.get(name)
            self.walked[name] = tuple(_in_order(found)) if found else ()
        return self.walked[name]


class _Fields(dict[type, tuple[str, ...]]):
    """The fields of a node's type that may hold calls; leaves, and what is no node, have none."""

    def __missing__(self, kind: type) -> tuple[str, ...]:
        inner = issubclass(kind, ast.AST) and not issubclass(kind, _LEAVES)
        self[kind] = tuple(getattr(kind, "_fields", ())) if inner else ()
        return self[kind]


# Walking is the hottest loop of a large tree: types are looked up once, order is made at the end.
_LEAVES = (ast.Constant, ast.Name, ast.expr_context, ast.operator, ast.cmpop, ast.unaryop)
_FIELDS = _Fields({ast.Call: ("func", "args", "keywords"), ast.Attribute: ("value",)})


def _in_order(root: ast.AST) -> list[ast.Call | ast.withitem]:
    """Return the calls and with-items below a node in the order of the text."""
    found: list[ast.Call | ast.withitem] = []
    stack: list[ast.AST] = [root]
    while stack:
        node = stack.pop()
        if type(node) is ast.Call or type(node) is ast.withitem:
            found.append(node)
        for name in _FIELDS[type(node)]:
            value = getattr(node, name, None)
            if type(value) is list:
                stack.extend(value)
            elif value is not None:
                stack.append(value)
    return sorted(found, key=_position)


def _position(node: ast.Call | ast.withitem) -> tuple[int, int, bool]:
    """Return where the text of a node begins; a with-item follows its own call."""
    where = node.context_expr if isinstance(node, ast.withitem) else node
    return where.lineno, where.col_offset, isinstance(node, ast.withitem)


def operations(body: Body) -> tuple[str, ...]:
    """Return readable names of the operations in upgrade(): "add_column trades.id"."""
    tables: dict[str, str] = {"op": ""}
    found: list[str] = []
    for node in body.of("upgrade"):
        if isinstance(node, ast.withitem):
            _remember_batch(node, tables)
            continue
        match node.func:
            case ast.Attribute(value=ast.Name(id=owner), attr=verb) if owner in tables:
                if verb not in ("batch_alter_table", "f", "get_bind", "get_context"):
                    found.append(_operation(verb, node, tables[owner]))
    return tuple(found)


def _remember_batch(item: ast.withitem, tables: dict[str, str]) -> None:
    call, name = item.context_expr, item.optional_vars
    if isinstance(name, ast.Name) and isinstance(call, ast.Call):
        match call.func:
            case ast.Attribute(value=ast.Name(id="op"), attr="batch_alter_table"):
                tables[name.id] = _text(call.args[0]) if call.args else ""


def _operation(verb: str, call: ast.Call, table: str) -> str:
    names = [_text(argument) for argument in call.args[:2]]
    if table:
        names.insert(0, table)
    if verb in ("add_column", "drop_column", "alter_column"):
        return f"{verb} {'.'.join(name for name in names[:2] if name)}".strip()
    if verb == "execute":
        return f"execute {' '.join(names[-1:])}".strip()[:80]
    first = names[1:2] if table and verb.startswith(("create", "drop")) else names[:1]
    return f"{verb} {' '.join(first)}".strip()


def _text(node: ast.expr) -> str:
    """Return the first constant text of an argument: a name, a Column's name, an SQL text."""
    match node:
        case ast.Constant(value=str(value)):
            return " ".join(value.split())
        case ast.Call(func=ast.Attribute(value=owner, attr="format" | "replace" | "strip")):
            return _text(owner)
        case ast.Call(args=[first, *_]):
            return _text(first)
        case ast.JoinedStr(values=[first, *_]):
            return _text(first)
        case ast.BinOp(left=left):
            return _text(left)
    return ""


def commits(body: Body, text: str) -> tuple[int, ...]:
    """Return the lines on which upgrade() or downgrade() ends Alembic's own transaction."""
    if not any(word in text for word in _MAY_COMMIT):
        return ()
    nodes = (node for start in ("upgrade", "downgrade") for node in body.of(start))
    return tuple(
        sorted(
            {
                node.lineno
                for node in nodes
                if isinstance(node, ast.Call) and _ends_transaction(node)
            }
        )
    )


def _ends_transaction(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Attribute):
        return False
    if call.func.attr == "commit":
        return not call.args
    if call.func.attr not in ("execute", "exec_driver_sql", "execute_if") or not call.args:
        return False
    return re.match(r"(COMMIT|END|ROLLBACK)\b(?!\s+TO)", _text(call.args[0]), re.I) is not None
