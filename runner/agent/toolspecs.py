"""The tools as a model sees them, and the check of its calls. One JSON schema serves both providers.

Every key is required and what may be left out is nullable, as strict modes want it; an adapter whose provider
has optional keys may say the same shorter. There are no bounds and no patterns, because not every provider
enforces them: limits are held where a tool works.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from runner.core.work import ToolSpec

Schema = dict[str, Any]

_KINDS: Mapping[str, tuple[type, str]] = {
    "string": (str, "text"),
    "integer": (int, "a whole number"),
    "boolean": (bool, "true or false"),
    "array": (list, "a list"),
    "object": (dict, "an object"),
}
_OTHER_NAMES = {
    **dict.fromkeys(("cat", "open", "view", "read", "open_file"), "read_file"),
    **dict.fromkeys(("grep", "rg", "find_in_files", "search_files"), "search"),
    **dict.fromkeys(("ls", "find", "glob", "tree", "list_dir", "list_directory"), "list_files"),
    **dict.fromkeys(("str_replace", "replace", "edit", "apply_patch", "str_replace_editor"), "edit_file"),
    **dict.fromkeys(("create_file", "create", "write", "insert"), "write_file"),
    **dict.fromkeys(("bash", "shell", "run", "exec", "execute", "test", "run_tests"), "run_check"),
    **dict.fromkeys(("rm", "remove_file", "mv", "rename_file"), "delete_file"),
    **dict.fromkeys(("done", "submit", "complete", "end", "ask", "ask_user"), "finish"),
}


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A tool with an example of a right call, which teaches after a wrong one."""

    spec: ToolSpec
    example: Mapping[str, object]

    @property
    def name(self) -> str:
        """The name the model calls."""
        return self.spec.name


def tools(
    *, check_ids: Iterable[str], read_only: bool, with_answers: bool, can_ask: bool = True
) -> tuple[Tool, ...]:
    """The tools of a run in a fixed order: reading ones only, or all.

    ``with_answers``: ``finish`` also answers the points of feedback. Without ``can_ask`` a question is such an
    answer, so that it does not end, and lose, the work on the other points.
    """
    checks = tuple(check_ids)
    if read_only:
        return _reading()
    running = (_run_check(checks),) if checks else ()
    asking = (_ask(),) if can_ask else ()
    return (*_reading(), *_writing(), *running, *asking, _finish(with_answers=with_answers))


def wrong_tool(name: str, offered: Iterable[Tool]) -> str:
    """What to say about a tool that is not offered."""
    names = [tool.name for tool in offered]
    likely = _OTHER_NAMES.get(name.lower())
    close = [likely] if likely in names else get_close_matches(name, names, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return f"There is no tool {name[:60]!r}.{hint} The tools are: {', '.join(names)}."


def checked_arguments(tool: Tool, arguments: Mapping[str, Any] | None) -> dict[str, Any] | str:
    """Return the arguments, with ``None`` for nullable ones left out, or what is wrong with them and an example."""
    if arguments is None:
        return _taught(tool, "the arguments are no JSON object")
    properties: Mapping[str, Schema] = tool.spec.parameters["properties"]
    full = {name: None for name, schema in properties.items() if _is_nullable(schema)} | dict(arguments)
    problem = _problem({**tool.spec.parameters}, full, "")
    return _taught(tool, problem) if problem else full


def _taught(tool: Tool, problem: str) -> str:
    example = json.dumps(tool.example, ensure_ascii=False)
    return f"{tool.name} was called wrongly: {problem}. A right call: {tool.name} {example}"


def _problem(schema: Schema, value: object, where: str) -> str | None:
    """Return the first way in which a value breaks our part of JSON Schema."""
    if value is None and _is_nullable(schema):
        return None
    kind, words = _KINDS[_kind(schema)]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        return f"`{where}` must be {words}, not {_said(value)}"
    if "enum" in schema and value not in schema["enum"]:
        return f"`{where}` must be one of {', '.join(map(repr, schema['enum']))}, not {_said(value)}"
    if isinstance(value, list):
        inner = (_problem(schema["items"], item, f"{where}[{index}]") for index, item in enumerate(value))
        return next((found for found in inner if found), None)
    if isinstance(value, dict):
        return _object_problem(schema, value, where)
    return None


def _object_problem(schema: Schema, value: dict[str, Any], where: str) -> str | None:
    prefix = f"{where}." if where else ""
    properties: Mapping[str, Schema] = schema["properties"]
    for name in value:
        if name not in properties:
            close = get_close_matches(str(name), list(properties), n=1)
            hint = f" (did you mean `{close[0]}`?)" if close else ""
            return f"`{prefix}{str(name)[:60]}` is not an argument{hint}"
    for name, inner in properties.items():
        if name not in value:
            return f"`{prefix}{name}` is missing"
        found = _problem(inner, value[name], prefix + name)
        if found:
            return found
    return None


def _said(value: object) -> str:
    return "null" if value is None else f"{type(value).__name__} {str(value)[:40]!r}"


def _is_nullable(schema: Schema) -> bool:
    return isinstance(schema["type"], list)


def _kind(schema: Schema) -> str:
    kind = schema["type"]
    return str(kind[0] if isinstance(kind, list) else kind)


# --- the tools ---------------------------------------------------------------------------------


# Every byte here is sent with every turn: what a name says by itself is not said again, here and in the tools.


def _text(description: str = "", *, enum: Iterable[str] = ()) -> Schema:
    choices = list(enum)
    return {
        "type": "string",
        **({"description": description} if description else {}),
        **({"enum": choices} if choices else {}),
    }


def _number(description: str) -> Schema:
    return {"type": "integer", "description": description}


def _list(items: Schema, description: str = "") -> Schema:
    return {"type": "array", "items": items, **({"description": description} if description else {})}


def _or_null(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _object(**properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _tool(name: str, description: str, parameters: Schema, example: Mapping[str, object]) -> Tool:
    return Tool(spec=ToolSpec(name=name, description=description, parameters=parameters), example=example)


_PATH = _text()


def _reading() -> tuple[Tool, ...]:
    return (
        _tool(
            "list_files",
            "",
            _object(
                path=_or_null(_text("Default: the root.")),
                depth=_or_null(_number("Default: 2.")),
            ),
            {"path": "src", "depth": 2},
        ),
        _tool(
            "search",
            "Search lines by Python regular expression.",
            _object(
                pattern=_text(),
                path=_or_null(_text("File, folder or glob.")),
                context=_or_null(_number("Lines around hits.")),
            ),
            {"pattern": "def main", "path": None, "context": 2},
        ),
        _tool(
            "read_file",
            "Read a file as lines `number|text`.",
            _object(
                path=_text("Or check-output:ID, all that a check printed."),
                start=_or_null(_number("First line.")),
                lines=_or_null(_number("Default: 500.")),
            ),
            {"path": "src/app.py", "start": 1, "lines": 200},
        ),
    )


def _writing() -> tuple[Tool, ...]:
    return (
        _tool(
            "edit_file",
            "Replace `old`, exact text that stands in the file once: whole lines, as few as make it unique.",
            _object(
                path=_PATH,
                old=_text(),
                new=_text(),
                replace_all=_or_null({"type": "boolean", "description": "Every exact occurrence."}),
            ),
            {"path": "src/app.py", "old": "    return 1\n", "new": "    return 2\n", "replace_all": None},
        ),
        _tool(
            "write_file",
            "Write a new file, or a small one you have read.",
            _object(path=_PATH, content=_text()),
            {"path": "src/new.py", "content": "VALUE = 1\n"},
        ),
        _tool("delete_file", "", _object(path=_PATH), {"path": "src/old.py"}),
        _tool(
            "move_file",
            "",
            _object(path=_PATH, to=_text()),
            {"path": "src/old.py", "to": "src/new.py"},
        ),
    )


def _run_check(check_ids: tuple[str, ...]) -> Tool:
    return _tool(
        "run_check",
        "",
        _object(id=_text(enum=check_ids)),
        {"id": check_ids[0]},
    )


def _ask() -> Tool:
    return _tool(
        "ask",
        "End with questions that only a person can answer; edits are discarded.",
        _object(questions=_list(_text())),
        {"questions": ["Should the export contain archived orders?"]},
    )


def _finish(*, with_answers: bool) -> Tool:
    criterion = _object(
        text=_text(),
        status=_text(enum=("met", "not met", "needs a person")),
        evidence=_text("A test, check or file."),
    )
    answer = _object(
        id=_text(),
        verdict=_text(enum=("done", "declined", "question")),
        text=_text("What was done, why not, or the question."),
    )
    parts: dict[str, Schema] = {
        "outcome": _text(
            "partial: say what is left.",
            enum=("done", "no_change", "partial"),
        ),
        "summary": _text("A few sentences for a reviewer."),
        "criteria": _list(criterion, "Every acceptance criterion."),
    }
    example: dict[str, object] = {
        "outcome": "done",
        "summary": "Adds the `--json` flag.",
        "criteria": [{"text": "The flag exists", "status": "met", "evidence": "tests/test_cli.py"}],
    }
    if with_answers:
        parts["answers"] = _list(answer, "An answer to every point of feedback.")
        example["answers"] = [{"id": "c1", "verdict": "done", "text": "Renamed."}]
    return _tool(
        "finish",
        "End the work. `done` needs the checks green that were green before.",
        _object(**parts),
        example,
    )
