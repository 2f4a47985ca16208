#!/usr/bin/env python3
"""Writes the tables of the Terraform module's inputs and outputs into infra/README.md, between the
markers that terraform-docs uses; with --check it only says whether they are up to date.

Reads what `terraform fmt` leaves: a block begins and ends at the beginning of a line.
"""

import pathlib
import re
import sys
import textwrap

MODULE = pathlib.Path(__file__).resolve().parents[1] / "infra"
README = MODULE / "README.md"
BEGIN, END = "<!-- BEGIN_TF_DOCS -->\n", "<!-- END_TF_DOCS -->\n"
BLOCK = r'^{kind} "(\w+)" \{{\n(.*?)^\}}$'
HEREDOC = r"^  {name} *= <<-EOT\n(.*?)^ *EOT$"


def blocks(file, kind):
    text = (MODULE / file).read_text()
    return re.findall(BLOCK.format(kind=kind), text, re.MULTILINE | re.DOTALL)


def attribute(body, name):
    """The attribute's text as it is written, on one line."""
    heredoc = re.search(HEREDOC.format(name=name), body, re.MULTILINE | re.DOTALL)
    if heredoc:
        return " ".join(textwrap.dedent(heredoc[1]).split())
    line = re.search(rf"^  {name} *= (.*)$", body, re.MULTILINE)
    return line and line[1].removeprefix('"').removesuffix('"').replace('\\"', '"')


def row(*cells):
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def tables():
    lines = [row("input", "type", "default", "description"), "|---|---|---|---|"]
    for name, body in blocks("variables.tf", "variable"):
        default = attribute(body, "default")
        cells = attribute(body, "type"), "required" if default is None else default or '""'
        lines.append(row(f"`{name}`", *(f"`{cell}`" for cell in cells), attribute(body, "description")))
    lines += ["", row("output", "description"), "|---|---|"]
    for name, body in blocks("outputs.tf", "output"):
        lines.append(row(f"`{name}`", attribute(body, "description")))
    return "\n".join(lines) + "\n"


def main():
    readme = README.read_text()
    before, rest = readme.split(BEGIN)
    after = rest.split(END)[1]
    current = before + BEGIN + tables() + END + after
    if "--check" in sys.argv and current != readme:
        sys.exit("infra/README.md: its tables are out of date; run scripts/module_tables.py")
    README.write_text(current)


if __name__ == "__main__":
    main()
