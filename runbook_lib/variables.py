"""Variables: what a project's ``env.py`` reads to find its database, told without importing it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

Role = Literal["url", "host", "port", "user", "password", "database", "socket", ""]

# env.py, the modules that it imports, and those that they import; only where none of these reads an
# address, further: a package's __init__ that passes settings on is a step, too.
DEPTHS = (3, 6)
MOST_FILES = 60
DRIVERS = ("psycopg2", "psycopg", "asyncpg", "pg8000")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SCHEME = re.compile(r"\s*[\"']?(postgres(?:ql)?(?:\+[a-z0-9_]+)?)://")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One environment variable; ``scheme`` is that of the URL it is known to hold, if any."""

    name: str
    role: Role = ""
    scheme: str = ""
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the source says. ``rewrites`` is the URL scheme that the code expects and replaces.

    ``files`` are relative to the project's root; ``text`` is the source of all of them.
    """

    variables: tuple[Variable, ...] = ()
    files: tuple[str, ...] = ()
    rewrites: str = ""
    is_async: bool = False
    text: str = ""

    @property
    def addresses(self) -> tuple[Variable, ...]:
        return tuple(item for item in self.variables if item.role)


# Words of a variable's name

HINTS = frozenset(
    ("db", "database", "databases", "postgres", "postgresql", "pg", "psql", "sql", "sqlalchemy")
) | {"alembic", "rds", "migration", "migrations"}
FOREIGN = frozenset(
    ("redis", "mongo", "mongodb", "rabbitmq", "amqp", "celery", "broker", "kafka", "elastic")
) | {"sentry", "mysql", "clickhouse", "smtp", "ldap", "neo4j", "influx", "vector", "snowflake"}
UNFIT = frozenset(("table", "schema", "file", "driver", "ssl", "pool", "timeout", "echo", "arn"))
TRAILING = frozenset(("ro", "rw", "read", "write", "sync", "async", "test", "primary", "master"))
ROLES: Mapping[str, Role] = {
    **dict.fromkeys(("host", "hostname", "server", "addr", "address", "endpoint"), "host"),
    "port": "port",
    **dict.fromkeys(("user", "username", "login"), "user"),
    **dict.fromkeys(("password", "passwd", "pass", "pwd"), "password"),
    **dict.fromkeys(("name", "dbname", "db", "database"), "database"),
    **dict.fromkeys(("socket", "sock"), "socket"),
}


def role_of(name: str, *, hinted: bool = False) -> Role:
    """Say what a variable of this name holds; ``hinted``: it is a database setting's for sure."""
    words = _words(name)
    if set(words) & (FOREIGN | UNFIT) or not (hinted or set(words) & HINTS):
        return ""
    if set(words) & {"url", "uri", "dsn", "conninfo"} or {"connection", "string"} <= set(words):
        return "url"
    while len(words) > 1 and words[-1] in TRAILING:
        words.pop()
    if words[-1] in ("db", "database") and not hinted and not set(words[:-1]) & HINTS:
        return ""  # DB and DATABASE alone: an address, a name, a file
    return ROLES.get(words[-1], "")


def _words(name: str) -> list[str]:
    spaced = re.sub(r"([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])", r"\1\3_\2\4", name).lower()
    words: list[str] = []
    for word in filter(None, spaced.split("_")):
        joined = re.fullmatch(r"(db|pg|postgres|database|sql)(\w+)", word)
        known = joined and joined[2] in {*ROLES, "url", "uri", "dsn"}
        words += [joined[1], joined[2]] if joined and known else [word]
    return words


def scheme_of(value: object) -> str:
    """Return the scheme of a PostgreSQL URL, "" for anything else; the rest is not kept."""
    found = SCHEME.match(value) if isinstance(value, str) else None
    return found[1] if found else ""


# Source files


def read(
    env_py: Path, root: Path, places: Sequence[Path], application: Path | None = None
) -> Reading:
    """Read ``env.py`` and the project's modules that it imports, looked for in ``places``.

    ``application`` is the file of what Flask-Migrate's env.py runs in, where that is known.
    """
    starts = [env_py, *([application] if application else [])]
    trees, found = _read_to(DEPTHS[0], starts, places)
    if not any(item.role for item in found):
        deeper = _read_to(DEPTHS[1], starts, places)
        trees, found = deeper if any(item.role for item in deeper[1]) else (trees, found)
    if not any(item.role for item in found) and env_py in trees:
        found += _presumed(trees[env_py])
    text = "\n".join(_text(path) for path in trees)
    return Reading(
        variables=_merged(found),
        files=tuple(_shown(path, root) for path in trees),
        rewrites=next((form for tree in trees.values() if (form := _rewritten(tree))), ""),
        is_async=bool(re.search(r"\basync_engine_from_config|create_async_engine|\bAsyncEngine\b",
                                _text(env_py))),
        text=text,
    )  # fmt: skip


def _read_to(
    depth: int, starts: Sequence[Path], places: Sequence[Path]
) -> tuple[dict[Path, ast.Module], list[Variable]]:
    trees = dict(_modules(starts, places, depth))
    found = [item for tree in trees.values() for item in _lookups(tree)]
    return trees, found + _settings(list(trees.values()))


def _modules(
    starts: Sequence[Path], places: Sequence[Path], deepest: int
) -> Iterator[tuple[Path, ast.Module]]:
    """Give each file's tree, the starts first, breadth first; what cannot be parsed is left out."""
    waiting, seen = [(path, 1) for path in starts], {*starts}
    while waiting and len(seen) < MOST_FILES:
        path, depth = waiting.pop(0)
        tree = parse(path)
        if tree is None:
            continue
        yield path, tree
        for name in _imports(tree) if depth < deepest else ():
            for file in _files_of(name, (path.parent, *places)):
                if file not in seen:
                    seen.add(file)
                    waiting.append((file, depth + 1))


def parse(path: Path) -> ast.Module | None:
    """Return the syntax tree of a file, None when there is none to be had."""
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (item.name for item in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield base
            yield from (f"{base}{'' if base.endswith('.') else '.'}{n.name}" for n in node.names)
        elif isinstance(node, ast.Call) and _dotted(node.func).endswith(".from_object"):
            names = [item.value for item in node.args if isinstance(item, ast.Constant)]
            yield from (name for name in names if isinstance(name, str))  # Flask's settings


def _files_of(name: str, places: Sequence[Path]) -> Iterator[Path]:
    """Give the module's file and its packages' ``__init__`` files, as far as the project has them.

    ``places[0]`` is the importing file's own folder, which relative names start from.
    """
    level = len(name) - len(name.lstrip("."))
    parts = [part for part in name.split(".") if part]
    bases = places[1:]
    if level:
        bases = (places[0], *places[0].parents)[level - 1 : level]
    for base in bases:
        for number in range(1, len(parts) + 1):
            stem = base.joinpath(*parts[:number])
            yield from (f for f in (stem / "__init__.py", stem.with_name(f"{stem.name}.py"))
                        if f.is_file())  # fmt: skip


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _shown(path: Path, root: Path) -> str:
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        return path.name


# Look-ups such as os.environ["DB_HOST"]

READERS = frozenset(("getenv", "environ.get", "environ.pop", "environ.setdefault"))


def _lookups(tree: ast.Module) -> Iterator[Variable]:
    """Give what is looked up in the environment, and any look-up of a name that fits a database."""
    constants = {
        name.id: node.value
        for node in tree.body if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value
        for name in getattr(node, "targets", [getattr(node, "target", None)])
        if isinstance(name, ast.Name)
    }  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            key, known = node.slice, _dotted(node.value).endswith("environ")
            yield from _variable(constants.get(_dotted(key), key), None, known, required=known)
        elif isinstance(node, ast.Call) and node.args:
            key, name = node.args[0], _dotted(node.func)
            known = any(name == form or name.endswith(f".{form}") for form in READERS)
            default = node.args[1] if len(node.args) > 1 else None
            default = next((k.value for k in node.keywords if k.arg == "default"), default)
            yield from _variable(constants.get(_dotted(key), key), default, known, required=False)


def _variable(
    key: ast.expr, default: ast.expr | None, known: bool, *, required: bool
) -> Iterator[Variable]:
    if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
        return
    name = key.value
    scheme = scheme_of(default.value) if isinstance(default, ast.Constant) else ""
    role = "url" if scheme else role_of(name)
    shaped = re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+|PG[A-Z]+|DB[A-Z]*", name)
    if NAME.fullmatch(name) and (known or (role and shaped)):
        yield Variable(name=name, role=role, scheme=scheme, required=required)


def _presumed(tree: ast.Module) -> Iterator[Variable]:
    """Give the URLs that env.py itself looks up: they are its database's, whatever their name."""
    for item in _lookups(tree):
        if role_of(item.name, hinted=True) == "url":
            yield replace(item, role="url")


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _rewritten(tree: ast.Module) -> str:
    """Return the scheme that the code expects in a variable, as it tests or replaces it."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr == "set" and any(k.arg == "drivername" for k in node.keywords):
            return "postgresql"
        if node.func.attr not in ("replace", "startswith", "removeprefix") or not node.args:
            continue
        first = node.args[0]
        given = first.value if isinstance(first, ast.Constant) else None
        found = (
            re.match(r"(postgres(?:ql)?)?(\+\w+)?(:|$)", given) if isinstance(given, str) else None
        )
        if found and given and (found[1] or found[2]):
            return f"postgresql{found[2] or ''}"
    return ""


# Settings classes in the fashion of pydantic


def _settings(trees: Sequence[ast.Module]) -> list[Variable]:
    classes = {
        node.name: node
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    return [
        item
        for node in classes.values()
        if _is_settings(node, classes)
        for item in _fields(node, classes)
    ]


def _is_settings(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef], depth: int = 0) -> bool:
    names = [_dotted(base).rpartition(".")[2] for base in node.bases]
    return "BaseSettings" in names or any(
        _is_settings(classes[name], classes, depth + 1)
        for name in names
        if name in classes and depth < 5
    )


def _fields(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> Iterator[Variable]:
    """Give a settings class's variables: its prefix and, of its inner models, the nested names."""
    config = _config(node)
    prefix = str(config.get("env_prefix") or "")
    between = str(config.get("env_nested_delimiter") or "")
    exact = bool(config.get("case_sensitive"))
    for name, inner, item in _annotated(node, classes, hinted=_hinted(node.name)):
        if not inner:
            full = name if item.name else f"{prefix}{name}"
            full = full if exact or item.name else full.upper()
            role = item.role or role_of(full, hinted=_hinted(node.name))
            yield replace(item, name=full, role=role)
        elif between:
            hinted = _hinted(name) or _hinted(inner.name)
            for part, deeper, leaf in _annotated(inner, classes, hinted=hinted):
                full = f"{prefix}{name}{between}{part}"
                if not deeper:
                    role = leaf.role or role_of(part, hinted=hinted)
                    yield replace(leaf, name=full if exact else full.upper(), role=role)


def _annotated(
    node: ast.ClassDef, classes: Mapping[str, ast.ClassDef], *, hinted: bool
) -> Iterator[tuple[str, ast.ClassDef | None, Variable]]:
    """Give each field's name, its class when that is one of the project's, and what is known.

    The variable's name is set where the field names it itself (``alias``, ``env``).
    """
    for item in node.body:
        if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
            continue
        name, kind = item.target.id, ast.unparse(item.annotation)
        if name == "model_config" or name.startswith("_") or "ClassVar" in kind:
            continue
        inner = next((classes[word] for word in re.findall(r"\w+", kind) if word in classes), None)
        scheme = next((scheme_of(n.value) for n in ast.walk(item) if isinstance(n, ast.Constant)
                       and scheme_of(n.value)), "")  # fmt: skip
        alias = _alias(item.value)
        is_url = scheme or "PostgresDsn" in kind or (hinted and name in ("url", "uri", "dsn"))
        yield (
            alias or name,
            inner,
            Variable(
                name=alias,
                role="url" if is_url else "",
                scheme=scheme,
                required=item.value is None,
            ),
        )


def _alias(value: ast.expr | None) -> str:
    """Return the variable that a ``Field(...)`` names, "" when it names none."""
    for keyword in value.keywords if isinstance(value, ast.Call) else ():
        if keyword.arg in ("alias", "validation_alias", "env"):
            for node in ast.walk(keyword.value):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    return node.value if NAME.fullmatch(node.value) else ""
    return ""


def _config(node: ast.ClassDef) -> dict[str, object]:
    """Return the constants of ``model_config = SettingsConfigDict(...)`` or ``class Config``."""
    found: dict[str, object] = {}
    for item in node.body:
        if isinstance(item, ast.ClassDef) and item.name == "Config":
            for line in item.body:
                if isinstance(line, ast.Assign) and isinstance(line.value, ast.Constant):
                    found |= {t.id: line.value.value for t in line.targets
                              if isinstance(t, ast.Name)}  # fmt: skip
        value = getattr(item, "value", None)
        if "model_config" in ast.unparse(item).split("=")[0] and isinstance(value, ast.Call):
            found |= {k.arg: k.value.value for k in value.keywords
                      if k.arg and isinstance(k.value, ast.Constant)}  # fmt: skip
    return found


def _hinted(name: str) -> bool:
    return bool(set(_words(name)) & HINTS)


def _merged(found: Sequence[Variable]) -> tuple[Variable, ...]:
    """Return one variable a name, in the order of first sight, with all that is known of it."""
    merged: dict[str, Variable] = {}
    for item in found:
        known = merged.get(item.name, item)
        merged[item.name] = replace(
            known,
            role=known.role or item.role,
            scheme=known.scheme or item.scheme,
            required=known.required or item.required,
        )
    return tuple(merged.values())
