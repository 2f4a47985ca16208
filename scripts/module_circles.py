#!/usr/bin/env python3
"""Fails if modules of a crate depend on each other in a circle.

    scripts/module_circles.py

A module depends on those that its code names by a path from `crate`, `self` or `super`; tests are left
out, and declaring a module (`mod name;`) is no dependency. Read as text, so a macro may hide a path:
circles that are found are real, and there is no need for a compiler.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TESTS = re.compile(r"^#\[cfg\(test\)\]\n *mod tests \{.*", re.DOTALL | re.MULTILINE)
USE = re.compile(r"\buse\s+([^;]+);")
PATH = re.compile(r"\b((?:crate|super|self)(?:::\w+)+)")


def modules_of(source):
    """The files of a crate by module path; the root is the empty path."""
    modules = {}
    for file in source.rglob("*.rs"):
        path = file.relative_to(source).with_suffix("").parts
        modules[() if path == ("lib",) else path] = file
    return modules


def flattened(tree):
    """`a::{b, c::{self, d}}` as `a::b`, `a::c`, `a::c::d`."""
    tree = re.sub(r"\s+", "", re.sub(r"\s+as\s+\w+", "", tree))
    branches, depth, start = [], 0, 0
    for position, character in enumerate(tree + ","):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            branches.append(tree[start:position])
            start = position + 1
    for branch in filter(None, branches):
        stem, brace, inner = branch.partition("{")
        if not brace:
            yield branch
            continue
        for path in flattened(inner.removesuffix("}")):
            yield stem.removesuffix("::") if path == "self" else stem + path


def dependencies(module, modules):
    # `pub(in crate::a)` says who may see an item, not what it needs.
    text = re.sub(r"//[^\n]*|\bpub\([^)]*\)", "", modules[module].read_text())
    text = TESTS.sub("", text)
    declared = set(re.findall(r"\bmod\s+(\w+);", text))
    paths = [path for tree in USE.findall(text) for path in flattened(tree)]
    paths += PATH.findall(USE.sub("", text))
    for path in paths:
        names = path.split("::")
        if names[0] == "crate":
            base, names = (), names[1:]
        elif names[0] == "super":
            levels = len(names) - len([name for name in names if name != "super"])
            base, names = module[: len(module) - levels], names[levels:]
        elif names[0] == "self":
            base, names = module, names[1:]
        elif names[0] in declared:
            base = module
        else:
            continue
        target = base
        for name in names:
            if target + (name,) not in modules:
                break
            target += (name,)
        if target != module and target in modules:
            yield target


def circles(graph):
    """The strongly connected components of more than one module, by Tarjan's algorithm."""
    order, lowest, stack, found = {}, {}, [], []

    def visit(module):
        order[module] = lowest[module] = len(order)
        stack.append(module)
        for target in graph[module]:
            if target not in order:
                visit(target)
            if target in stack:
                lowest[module] = min(lowest[module], lowest[target])
        if lowest[module] == order[module]:
            component = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(component) > 1:
                found.append(component)

    for module in graph:
        if module not in order:
            visit(module)
    return found


def name(module):
    return "::".join(module) or "lib"


def main():
    failed = False
    count = 0
    for source in sorted(ROOT.glob("crates/*/src")):
        modules = modules_of(source)
        graph = {module: sorted(set(dependencies(module, modules))) for module in sorted(modules)}
        count += len(modules)
        for circle in circles(graph):
            failed = True
            print(f"{source.parent.name}: a circle of {len(circle)} modules:")
            for module in sorted(circle):
                targets = [name(target) for target in graph[module] if target in circle]
                print(f"  {name(module)} -> {', '.join(targets)}")
    if not failed:
        print(f"modules: no circle among {count}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
