"""The rules the whole code keeps, read from its syntax: who imports whom, who listens, who moves a lead."""

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
APPS = ("leads", "campaigns", "crm")
# Each may import itself and those on its right.
MAY_IMPORT = {"leads": {"leads"}, "campaigns": {"campaigns", "leads"}, "crm": {"crm", "campaigns", "leads"}}
FILES = sorted(path for app in APPS for path in (ROOT / app).rglob("*.py"))
CODE = [path for path in FILES if "migrations" not in path.parts]
# The one door through which a stage changes, and the engine, which decides it in values of its own.
STAGE_DOORS = {"leads/gates.py", "leads/fold_gates.py", "leads/folding.py", "leads/fold_state.py", "leads/fold_view.py"}
MACHINES = re.compile(r"/(?:home|root|work|Users)/|https?://(?:127\.0\.0\.1|10\.|192\.168\.)")


def name(path):
    return path.relative_to(ROOT).as_posix()


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"), filename=name(path))


def imports(tree):
    """(line, module) of every import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            yield node.lineno, node.module


def test_imports_run_from_crm_over_campaigns_to_leads_never_back():
    wrong = [
        f"{name(path)}:{line} imports {module}"
        for path in FILES
        for line, module in imports(tree_of(path))
        if (top := module.split(".")[0]) in {*APPS, "tests"} and top not in MAY_IMPORT[path.relative_to(ROOT).parts[0]]
    ]

    assert not wrong


def our_signals():
    """The names of the signals in leads/signals.py."""
    tree = tree_of(ROOT / "leads/signals.py")
    return {target.id for node in ast.walk(tree) if isinstance(node, ast.Assign) for target in node.targets}


def test_signals_are_connected_in_one_file():
    ours, wrong = our_signals(), []
    assert {"events_recorded", "leads_transitioned"} <= ours
    for path in FILES:
        tree = tree_of(path)
        wrong += [f"{name(path)}:{line}" for line, module in imports(tree) if module.startswith("django.db.models.signals")]
        for node in ast.walk(tree):
            connects = (
                isinstance(node, ast.Attribute) and node.attr == "connect" and getattr(node.value, "id", getattr(node.value, "attr", ""))
            )
            receives = isinstance(node, ast.Name) and node.id == "receiver"
            if (connects in ours or receives) and name(path) != "crm/wiring.py":
                wrong.append(f"{name(path)}:{node.lineno}")

    assert not wrong


def test_imports_stand_at_the_top():
    wrong = []
    for path in CODE:
        for function in ast.walk(tree_of(path)):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) or function.name == "ready":
                continue
            wrong += [f"{name(path)}:{node.lineno}" for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom)]

    assert not wrong


def writes_stage(node):
    """An assignment to `.stage` or `.stage_id`, or `.update(stage=…)`."""
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        flat = [part for target in targets for part in (target.elts if isinstance(target, ast.Tuple) else [target])]
        return any(isinstance(part, ast.Attribute) and part.attr in {"stage", "stage_id"} for part in flat)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "update":
        return any(keyword.arg in {"stage", "stage_id"} for keyword in node.keywords)
    return False


def test_a_stage_changes_through_one_door():
    wrong = [
        f"{name(path)}:{node.lineno}"
        for path in CODE
        if name(path) not in STAGE_DOORS
        for node in ast.walk(tree_of(path))
        if writes_stage(node)
    ]

    assert not wrong


def test_functions_and_modules_stay_readable():
    long = [f"{name(path)} has {len(path.read_text().splitlines())} lines" for path in CODE if len(path.read_text().splitlines()) > 400]
    for path in CODE:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.body[0].end_lineno > 40:
                long.append(f"{name(path)}:{node.lineno} {node.name}")

    assert not long


def test_every_module_says_what_room_it_is():
    assert not [name(path) for path in CODE if path.read_text().strip() and not ast.get_docstring(tree_of(path))]


def way_of_an_event():
    """The names in the README's table `The way of an event`."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## The way of an event")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return sorted({found for row in rows for found in re.findall(r"`((?:leads|campaigns|crm)\.[\w.]+)`", row)})


def test_the_way_of_an_event_is_told_as_it_is():
    names = way_of_an_event()

    assert len(names) >= 12
    for dotted in names:
        module, _, attribute = dotted.rpartition(".")
        try:
            found = hasattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError:
            found = False
        if not found:
            importlib.import_module(dotted)


def settings_read():
    """Every name crm/settings.py takes from the environment."""
    text = (ROOT / "crm/settings.py").read_text(encoding="utf-8")
    return set(re.findall(r"(?:env(?:\.\w+)?|required_when_live)\(\s*\"([A-Z_]+)\"", text))


def test_env_example_lists_every_setting_and_no_other():
    told = set(re.findall(r"^#?([A-Z][A-Z_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))

    assert settings_read() == told


def test_only_settings_reads_the_environment():
    # The demo hands its own environment on to its children.
    allowed = {"crm/settings.py", "crm/management/commands/demo.py"}
    wrong = [
        f"{name(path)}:{node.lineno}"
        for path in CODE
        if name(path) not in allowed
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"} and getattr(node.value, "id", "") == "os"
        if not sets_default(path, node)
    ]

    assert not wrong


def sets_default(path, node):
    """`os.environ.setdefault("DJANGO_SETTINGS_MODULE", …)` in the entry points."""
    return name(path) in {"crm/wsgi.py", "crm/asgi.py", "crm/celery.py"}


@pytest.mark.parametrize("file", ["requirements/dev.txt", "requirements/prod.txt"])
def test_the_lock_names_no_host_and_hashes_everything(file):
    text = (ROOT / file).read_text(encoding="utf-8")

    assert not re.search(r"https?://|@ |--index-url|--find-links", text)
    requirements = [block for block in re.split(r"\n(?=\S)", text.strip()) if not block.startswith("#")]
    assert all("--hash=sha256:" in block for block in requirements)


def test_the_code_names_no_machine():
    texts = [*CODE, ROOT / "Makefile", ROOT / "README.md", ROOT / ".ci/run"]

    assert not [name(path) for path in texts if MACHINES.search(path.read_text(encoding="utf-8"))]
