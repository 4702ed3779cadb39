"""The bare loop: the official SDK, the plainest tools, nothing kept and nothing checked. What ours is compared to.

Started as ``python -m bench.bare PROVIDER URL CHECKOUT DONE``; touches DONE as its last write.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.scenario import KEY, MODELS, TASK, Provider

SYSTEM = "You implement one ticket in a checkout of a repository. Read before you edit, run the checks, then finish."
WORDS: Mapping[str, str] = {
    "list_files": "List the files of a folder.",
    "search": "Search all files with a regular expression.",
    "read_file": "Read a file as numbered lines.",
    "edit_file": "Replace a text in a file.",
    "write_file": "Write a whole file.",
    "run_check": "Run a check.",
    "finish": "End the work.",
}
_STRING = {"type": "string"}
_PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "list_files": {"path": _STRING, "depth": {"type": "integer"}},
    "search": {"pattern": _STRING, "path": _STRING, "context": {"type": "integer"}},
    "read_file": {"path": _STRING, "start": {"type": "integer"}, "lines": {"type": "integer"}},
    "edit_file": {"path": _STRING, "old": _STRING, "new": _STRING, "replace_all": {"type": "boolean"}},
    "write_file": {"path": _STRING, "content": _STRING},
    "run_check": {"id": _STRING},
    "finish": {"outcome": _STRING, "summary": _STRING, "criteria": {"type": "array", "items": _STRING}},
}


def schema(name: str) -> dict[str, Any]:
    return {"type": "object", "properties": dict(_PARAMETERS[name])}


def run_tool(root: Path, name: str, arguments: Mapping[str, Any]) -> str:
    """Do what is asked in the most direct way."""
    path = root / (arguments.get("path") or "")
    match name:
        case "list_files":
            return "\n".join(sorted(str(one.relative_to(root)) for one in path.iterdir()))
        case "search":
            return _search(root, path, arguments["pattern"])
        case "read_file":
            return "\n".join(f"{at}|{line}" for at, line in enumerate(path.read_text().splitlines(), 1))
        case "edit_file":
            path.write_text(path.read_text().replace(arguments["old"], arguments["new"], 1))
            return f"Edited {arguments['path']}: {arguments['old']} is now {arguments['new']}"
        case "run_check":
            return subprocess.run(["true"], capture_output=True, text=True, check=False).stdout or "green"
        case _:
            return "ok"


def _search(root: Path, path: Path, pattern: str) -> str:
    wanted = re.compile(pattern)
    found = []
    for file in sorted(path.rglob("*")):
        if file.is_file() and ".git" not in file.parts:
            for number, line in enumerate(file.read_text(errors="replace").splitlines(), 1):
                if wanted.search(line):
                    found.append(f"{file.relative_to(root)}:{number}: {line}")
    return "\n".join(found)


def anthropic_loop(url: str, root: Path) -> None:
    import anthropic

    client = anthropic.Anthropic(api_key=KEY, base_url=url, max_retries=0)
    tools: Any = [
        {"name": name, "description": WORDS[name], "input_schema": schema(name)} for name in _PARAMETERS
    ]
    messages: list[Any] = [{"role": "user", "content": TASK}]
    while True:
        with client.messages.stream(
            model=MODELS["anthropic"], max_tokens=32_000, system=SYSTEM, tools=tools, messages=messages
        ) as stream:
            message = stream.get_final_message()
        messages.append({"role": "assistant", "content": message.content})
        calls: list[Any] = [block for block in message.content if block.type == "tool_use"]
        if message.stop_reason != "tool_use" or calls[0].name == "finish":
            return
        results = [
            {"type": "tool_result", "tool_use_id": one.id, "content": run_tool(root, one.name, one.input)}
            for one in calls
        ]
        messages.append({"role": "user", "content": results})


def openai_loop(url: str, root: Path) -> None:
    import openai

    client = openai.OpenAI(api_key=KEY, base_url=f"{url}/v1", max_retries=0)
    tools: Any = [
        {
            "type": "function",
            "name": name,
            "description": WORDS[name],
            "parameters": schema(name),
            "strict": False,
        }
        for name in _PARAMETERS
    ]
    history: list[Any] = [{"role": "user", "content": TASK}]
    while True:
        stream = client.responses.create(
            model=MODELS["openai"],
            instructions=SYSTEM,
            input=history,
            tools=tools,
            stream=True,
            store=False,
            max_output_tokens=32_000,
            include=["reasoning.encrypted_content"],
        )
        response: Any = next(event for event in stream if event.type == "response.completed").response
        history += response.output
        calls = [item for item in response.output if item.type == "function_call"]
        if not calls or calls[0].name == "finish":
            return
        history += [
            {
                "type": "function_call_output",
                "call_id": one.call_id,
                "output": run_tool(root, one.name, json.loads(one.arguments)),
            }
            for one in calls
        ]


def main(provider: Provider, url: str, checkout: str, done: str) -> None:
    loop = anthropic_loop if provider == "anthropic" else openai_loop
    loop(url, Path(checkout))
    Path(done).write_text("done")


if __name__ == "__main__":
    main(*sys.argv[1:])  # type: ignore[arg-type]
