#!/usr/bin/env python3
"""Lint: who may include whom, how long files and functions may be, and words that must not occur.

The table is ARCHITECTURE.md's. Lengths: a file under src/ has at most 600 lines, a function at most 80. Run from the
project's root; prints one line a problem and exits 1 if there were any.
"""
import pathlib
import re
import subprocess
import sys

MAY_INCLUDE = {
    "base": set(),
    "kernels": {"base"}, "checkpoint": {"base"}, "hub": {"base"}, "jinja": {"base"}, "image": {"base"},
    "text": {"base", "checkpoint", "jinja"},
    "grammar": {"base", "text"},
    "backend": {"base", "checkpoint", "kernels"},
    "model": {"base", "checkpoint", "image", "backend"},
    "engine": {"base", "text", "grammar", "image", "backend", "model"},
    "server": {"base", "text", "grammar", "image", "model", "engine"},
    "delegate": {"base"},
}
FILE_LINES, FUNCTION_LINES = 600, 80
BANNED = {
    r"std::regex|<regex>": "std::regex recurses once a character",
    r"-ffast-math|#pragma omp": "results must not depend on the compiler's mood",
    r"\b(malloc|calloc|realloc|free)\(": "memory belongs to values and containers",
    r"\bgoto\b": "goto",
    r"\b(TODO|FIXME|XXX)\b": "what is not done is an issue, not a comment",
}


def strip_comments_and_strings(text):
    """The text with comments, strings and character literals blanked, line breaks kept."""
    pattern = re.compile(r'R"(\w*)\(.*?\)\1"|//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)


def functions(text):
    """(first line, number of lines) of every block that follows a parameter list, by matching braces."""
    stack, header = [], 0
    for at, char in enumerate(text):
        if char in ";}":
            header = at + 1
        if char == "{":
            head = text[header:at]
            is_function = ")" in head and not re.search(r"\b(namespace|struct|class|enum|union)\b[^()]*$", head)
            inside = any(kind for kind, _ in stack)
            start = header + len(head) - len(head.lstrip())
            stack.append((is_function and not inside, start))
            header = at + 1
        elif char == "}" and stack:
            kind, start = stack.pop()
            if kind:
                first = text.count("\n", 0, start) + 1
                yield first, text.count("\n", start, at) + 1


def check(path):
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    folder = path.parts[1] if path.parts[0] == "src" else None
    if len(lines) > FILE_LINES:
        yield f"{path}: has {len(lines)} lines, at most {FILE_LINES} are allowed"
    if folder and folder not in MAY_INCLUDE and folder != "cli":
        yield f"{path}: folder {folder}/ is not in the table of layers"
    for number, line in enumerate(lines, 1):
        included = re.match(r'#include "(\w+)/', line)
        if included and folder in MAY_INCLUDE and included[1] not in MAY_INCLUDE[folder] | {folder}:
            yield f"{path}:{number}: {folder}/ may not include {included[1]}/"
    code = strip_comments_and_strings(text)
    for first, length in functions(code):
        if length > FUNCTION_LINES:
            yield f"{path}:{first}: function of {length} lines, at most {FUNCTION_LINES} are allowed"
    for pattern, reason in BANNED.items():
        where = text if "TODO" in pattern else code
        for match in re.finditer(pattern, where):
            yield f"{path}:{where.count(chr(10), 0, match.start()) + 1}: {match[0]}: {reason}"


def main():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.h", "*.cpp", "*.inc"], text=True,
                            capture_output=True, check=True)
    paths = [pathlib.Path(name) for name in listed.stdout.split()]
    problems = [problem for path in paths for problem in check(path)]
    print("\n".join(problems) if problems else f"check_layers: {len(paths)} files are fine")
    return 1 if problems or not paths else 0


if __name__ == "__main__":
    sys.exit(main())
