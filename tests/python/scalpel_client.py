"""The client side of the dialect with fenced calls: how an agent of that kind reads an answer, written from its
published behaviour. The first block that is a JSON object with a name is a call, else the whole text if it is one."""

import json
import re

BLOCK = re.compile(r"(?s)```(?:tool|json)?\s*(\{.*?\})\s*```")
NAMES, PARAMS = ("name", "tool", "tool_name"), ("params", "parameters", "arguments")

SYSTEM = """You are a careful agent that works on files.

Available tools:
- read_file(path): the contents of a file
- write_file(path, content): makes a new file
- append_file(path, content): adds to the end of a file
- run_command(command): runs a command of the shell

An answer is either one tool block, or your final words. To use a tool:
```tool
{"name": "tool_name", "params": {"key": "value"}}
```

Example:
User: What is in /etc/hostname?
Assistant:
```tool
{"name": "read_file", "params": {"path": "/etc/hostname"}}
```
"""


def call_of(text):
    try:
        value = json.loads(text)
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    name = next((value[key] for key in NAMES if key in value), None)
    if not isinstance(name, str):
        return None
    return name, next((value[key] for key in PARAMS if key in value), {})


def parse(content):
    """(name, params) of the call, or None: the text is the final answer."""
    for block in BLOCK.finditer(content):
        call = call_of(block.group(1))
        if call:
            return call
    return call_of(content.strip())
