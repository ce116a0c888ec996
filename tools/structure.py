"""Print figures about the structure of the Python package: what a before / after table is made of.

``python tools/structure.py [ROOT] [--trace] [--json]`` reads the sources below ROOT: by default the
repository that this script lies in, else for example an older checkout. A room is what lies at the
top of the package, a sub-package or a single module; the package's own ``__init__`` is the door and
no room. ``--trace`` also runs a small fit, with the interpreter that runs this script.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import os
import statistics
import subprocess
import sys
import textwrap
import threading
import tokenize
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from inspect import CO_GENERATOR, CO_NESTED, CO_OPTIMIZED
from pathlib import Path
from types import CodeType, FrameType

PACKAGE = "massgraph"
SOURCES = {".py", ".c", ".cc", ".cpp", ".h", ".hpp", ".inl"}
PRAGMAS = ("# type:", "# noqa", "# pragma")

Function = ast.FunctionDef | ast.AsyncFunctionDef
Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Edges = Mapping[tuple[str, str], int]


@dataclass
class Figure:
    """One line of the table: what was counted, how, and what it was by name."""

    name: str
    value: float
    definition: str
    items: list[str] = field(default_factory=list)


class Module:
    """A module of the package, read and parsed."""

    def __init__(self, path: Path, package: Path) -> None:
        self.path = path.relative_to(package.parent).with_suffix("")
        self.parts = self.path.parts[:-1] if path.stem == "__init__" else self.path.parts
        self.text = path.read_text(encoding="utf-8")
        self.tree = ast.parse(self.text, filename=str(path))

    def imported(self) -> Iterator[tuple[str, str, str, bool]]:
        """Give all that is imported: source, name, name in here, and whether loading runs it."""
        for node, loaded in import_statements(self.tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name, "", "", loaded) for alias in node.names)
            else:
                base = self.path.parts[: -node.level] if node.level else ()
                source = ".".join([*base, *filter(None, [node.module])])
                for alias in node.names:
                    yield source, alias.name, alias.asname or alias.name, loaded

    def targets(self, known: Mapping[str, Module]) -> dict[str, bool]:
        """Modules of the package that this one imports, and whether loading it loads them."""
        found: dict[str, bool] = {}
        for source, name, _, loaded in self.imported():
            target = f"{source}.{name}" if f"{source}.{name}" in known else source
            if target in known and target not in (PACKAGE, ".".join(self.parts)):
                found[target] = loaded or found.get(target, False)
        return found


def import_statements(
    node: ast.AST, loaded: bool = True
) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Find the imports, and whether they run with the module: not in functions or for types."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, loaded
        else:
            later = isinstance(child, Function)
            later |= isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            yield from import_statements(child, loaded and not later)


def room_of(module: str) -> str:
    """Name the room that a module lies in: empty for the package's own ``__init__``."""
    return module.split(".")[1] if "." in module else ""


def circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Find the strongly connected components of more than one node, the largest first."""
    reach: dict[str, set[str]] = {}
    for start in graph:
        reach[start], waiting = set(), list(graph[start])
        while waiting:
            node = waiting.pop()
            if node not in reach[start]:
                reach[start].add(node)
                waiting += graph[node]
    found = {tuple(sorted(b for b in reach[a] if a in reach[b])) for a in graph} - {()}
    return [list(circle) for circle in sorted(found, key=lambda circle: (-len(circle), circle))]


def backward(order: list[str], edges: Edges) -> list[tuple[str, str]]:
    """List the edges that run from a later node of an order to an earlier one."""
    place = {node: i for i, node in enumerate(order)}
    return [(a, b) for a, b in edges if a in place and b in place and place[a] > place[b]]


def best_order(circle: list[str], edges: Edges) -> list[str]:
    """Order the nodes of a circle, importers first, so that little runs back.

    Greedily, and the same each time: one node is moved at a time, as long as that helps.
    """
    order: list[str] = []
    best = sorted(circle)
    while best != order:
        order = best
        for node in order:
            rest = [other for other in order if other != node]
            moves = [[*rest[:i], node, *rest[i:]] for i in range(len(order))]
            best = min([best, *moves], key=lambda o: sum(edges[e] for e in backward(o, edges)))
    return order


def layers(rooms: list[str], arrows: Edges) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Put each room a floor above those it imports; return the floors and what runs back up."""
    graph = {room: [b for a, b in arrows if a == room] for room in rooms}
    orders = [best_order(circle, arrows) for circle in circles(graph)]
    back = [edge for order in orders for edge in backward(order, arrows)]
    floors = dict.fromkeys(rooms, 1)
    for _ in rooms:  # the longest way down has at most as many steps
        for a, b in arrows.keys() - back:
            floors[a] = max(floors[a], floors[b] + 1)
    return floors, back


def import_figures(modules: Mapping[str, Module]) -> tuple[list[Figure], dict[str, int]]:
    """Count rooms, arrows and circles; return the floors of the rooms, too."""
    rooms = sorted({room_of(name) for name in modules} - {""})
    graph = {name: module.targets(modules) for name, module in modules.items()}
    edges = [(a, b) for a in graph for b in sorted(graph[a]) if room_of(a)]
    edges = [(a, b) for a, b in edges if room_of(a) != room_of(b)]
    arrows: Counter[tuple[str, str]] = Counter()
    for a, b in edges:  # what loading runs is the firmer order: the rest is ranked after it
        arrows[room_of(a), room_of(b)] += 1000 if graph[a][b] else 1
    floors, back = layers(rooms, arrows)
    up = [f"{a} -> {b}" for a, b in edges if (room_of(a), room_of(b)) in back]
    found = circles(graph)
    named = [f"{len(circle)}: {', '.join(circle)}" for circle in found]
    single = sum(len(module.path.parts) == 2 for module in modules.values()) - 1
    counted = "imports for types and inside functions count, of the package itself do not"
    against = (
        "pairs of modules; against the order of rooms with fewest such imports at loading, then"
    )
    return [
        Figure("rooms", len(rooms), f"{len(rooms) - single} sub-packages, {single} modules"),
        Figure("modules", len(modules), "Python files, with each __init__"),
        Figure("arrows", len(arrows), f"pairs of rooms, one imports of the other; {counted}"),
        Figure("floors", max(floors.values()), "a room is above all it imports, but back up"),
        Figure("imports that run back up", len(up), f"{against} for types or in functions", up),
        Figure("circles", len(found), "modules that import each other, also by way of others"),
        Figure("files in the largest circle", len(found[0]) if found else 0, "of these", named),
    ], floors


def length(node: ast.stmt) -> int:
    """Count the lines that a node takes."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def size_figures(package: Path, modules: Iterable[Module]) -> list[Figure]:
    """Count the long files, Python and C++, and measure how long functions are."""
    paths = [path for path in sorted(package.rglob("*")) if path.suffix in SOURCES]
    lines = {str(p.relative_to(package)): len(p.read_bytes().splitlines()) for p in paths}
    figures = []
    for most in (500, 600):
        long = [f"{name} ({count})" for name, count in lines.items() if count > most]
        figures.append(Figure(f"files of more than {most} lines", len(long), "Python, C++", long))
    lengths = []
    for node in (node for module in modules for node in ast.walk(module.tree)):
        if isinstance(node, Function):
            documented = ast.get_docstring(node) is not None
            lengths.append(length(node) - (length(node.body[0]) if documented else 0))
    ninth = statistics.quantiles(lengths, n=10, method="inclusive")[-1]
    counted = "from def to the end, without the docstring"
    return [
        *figures,
        Figure("functions", len(lengths), "functions and methods, also those inside functions"),
        Figure("lines of a function, median", statistics.median(lengths), counted),
        Figure("lines of a function, 90th percentile", round(ninth, 1), counted),
    ]


def comment_figures(modules: Iterable[Module]) -> list[Figure]:
    """Count comments beside lines of code."""
    comments: list[str] = []
    code = 0
    for module in modules:
        quoted: set[int] = set()
        for node in ast.walk(module.tree):  # docstrings, also those below constants
            value = node.value if isinstance(node, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                quoted.update(range(value.lineno, (value.end_lineno or value.lineno) + 1))
        lines = enumerate(module.text.splitlines(), 1)
        code += sum(bool(line.strip()) and number not in quoted for number, line in lines)
        tokens = tokenize.generate_tokens(io.StringIO(module.text).readline)
        comments += [token.string for token in tokens if token.type == tokenize.COMMENT]
    words = sum(not comment.startswith(PRAGMAS) for comment in comments)
    counted = f"{words} lines with a comment; {len(comments) - words} of noqa, type: left out"
    return [
        Figure("lines of code", code, "Python, with comments, without docstrings and empty lines"),
        Figure("comments per 100 lines of code", round(100 * words / code, 1), counted),
    ]


def exported(module: Module) -> list[str]:
    """Read ``__all__`` of a public module, where it is written out."""
    if not any(part.startswith("_") for part in module.parts):
        for node in module.tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                return list(ast.literal_eval(node.value))
    return []


def definition(modules: Mapping[str, Module], home: str, name: str) -> Documented | None:
    """Find the function or class that a name of a module stands for, through its imports."""
    if home not in modules:
        return None
    for node in reversed(modules[home].tree.body):  # the last one: no overload
        if isinstance(node, Documented) and node.name == name:
            return node
    for source, original, here, _ in modules[home].imported():
        if here == name and source != home:
            return definition(modules, source, original)
    return None


def public_figures(modules: Mapping[str, Module]) -> list[Figure]:
    """Count the public functions and classes, and those that have an example."""
    names = [(home, name) for home, module in modules.items() for name in exported(module)]
    public = {definition(modules, home, name) for home, name in names} - {None}
    shown = sum(">>>" in (ast.get_docstring(node) or "") for node in public if node)
    counted = "in __all__ of a module of which no part of the path begins with _; each once"
    return [
        Figure("public functions and classes", len(public), counted),
        Figure("with a runnable example", shown, "of these: a >>> in the docstring"),
    ]


class Recorder:
    """Notes, while functions run, which rooms they lie in and which room calls which.

    The caller is the nearest frame in the package: torch and others may lie between. What runs
    because a module is imported is left out.
    """

    def __init__(self, package: Path) -> None:
        self.package = package
        self.calls: set[tuple[CodeType, CodeType | None]] = set()

    def room(self, code: CodeType) -> str:
        """Name the room of some code: empty outside of the package and for its ``__init__``."""
        inside = code.co_filename.removeprefix(f"{self.package}{os.sep}")
        if inside in (code.co_filename, "__init__.py"):
            return ""
        return Path(inside).parts[0].removesuffix(".py")

    def profile(self, frame: FrameType, event: str, _: object) -> None:
        """Note a call: for `sys.setprofile`."""
        if event != "call" or not self.room(frame.f_code):
            return
        inside = [f.f_code for f, _ in traceback.walk_stack(frame) if self.room(f.f_code)]
        # Code that is not optimised is the body of a module or class.
        if all(code.co_flags & CO_OPTIMIZED for code in inside):
            self.calls.add((inside[0], inside[1] if len(inside) > 1 else None))


def record(package: Path) -> None:
    """Run a small fit and print, as JSON, the rooms entered and the calls between rooms."""
    import massgraph as mg

    if Path(mg.__file__).parent != package:
        msg = f"{mg.__file__} was imported, not {package}"
        raise ImportError(msg)
    spectra, labels = mg.simulate("tiny", n_runs=1, random_state=0)
    classifier = mg.RGCNClassifier(epochs=2)
    recorder = Recorder(package)
    threading.setprofile(recorder.profile)
    sys.setprofile(recorder.profile)
    classifier.fit(spectra, labels)
    sys.setprofile(None)
    calls = set()
    for code, caller in recorder.calls:
        handed = code.co_name[0] == "<" or code.co_flags & (CO_NESTED | CO_GENERATOR)
        kind = "callbacks" if handed else "climbs"
        calls.add((recorder.room(caller or code), recorder.room(code), kind, code.co_name))
    print(json.dumps(sorted(calls)))


def fit_figures(package: Path, floors: Mapping[str, int]) -> list[Figure]:
    """Count, in a process of its own, the rooms a fit enters and how often it climbs back up."""
    paths = [str(package.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    output = subprocess.run(
        [sys.executable, __file__, str(package.parents[1]), "--record"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    calls = json.loads(output.splitlines()[-1])
    rooms = sorted({callee for _, callee, *_ in calls})
    figures = [Figure("rooms that fit(X, y) enters", len(rooms), "with code that runs", rooms)]
    for kind, counted in (
        ("climbs", "pairs of rooms: the lower calls a named function or method of the higher"),
        ("callbacks", "the same for lambdas, local functions and generators, as handed down"),
    ):
        up: dict[str, list[str]] = {}
        for caller, callee, of, name in calls:
            if of == kind and floors[callee] > floors[caller]:
                up.setdefault(f"{caller} -> {callee}", []).append(name)
        items = [f"{pair}: {', '.join(names)}" for pair, names in up.items()]
        figures.append(Figure(f"{kind} of fit(X, y)", len(items), counted, items))
    return figures


def table(figures: Iterable[Figure]) -> str:
    """Put figures into lines: value, name, how it was counted, and below what was counted."""
    lines = []
    for figure in figures:
        head = f"{figure.value:>7}  {figure.name:<38}{figure.definition}"
        lines += textwrap.wrap(head, 100, subsequent_indent=" " * 47)
        for item in figure.items:
            lines += textwrap.wrap(item, 100, initial_indent=" " * 11, subsequent_indent=" " * 15)
    return "\n".join(lines)


def main() -> None:
    """Print the figures of a source tree."""
    parser = argparse.ArgumentParser(description=__doc__)
    here = Path(__file__).resolve().parents[1]
    parser.add_argument("root", nargs="?", type=Path, default=here, help="checkout to look at")
    parser.add_argument("--trace", action="store_true", help="run a small fit, too")
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    parser.add_argument("--record", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    package = arguments.root.resolve() / "python" / PACKAGE
    if not package.is_dir():
        parser.error(f"there is no {package}")
    if arguments.record:
        record(package)
        return
    read = [Module(path, package) for path in sorted(package.rglob("*.py"))]
    modules = {".".join(module.parts): module for module in read}
    figures, floors = import_figures(modules)
    figures += size_figures(package, read) + comment_figures(read) + public_figures(modules)
    if arguments.trace:
        figures += fit_figures(package, floors)
    print(json.dumps([asdict(f) for f in figures], indent=2) if arguments.json else table(figures))


if __name__ == "__main__":
    main()
