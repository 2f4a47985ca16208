"""The licence texts of what is linked into a program, as their authors ask for.

From what cargo knows of the program's dependencies: each crate's own files. Used by package.py and by the workflow of releases.
"""

import json
import pathlib
import subprocess

NAMES = ("licen", "copying", "notice", "copyright")


def linked_crates(package, target):
    """The crates that are compiled into a package of the workspace, by name and version."""
    metadata = json.loads(
        subprocess.run(
            ["cargo", "metadata", "--format-version=1", "--locked", f"--filter-platform={target}"],
            check=True,
            stdout=subprocess.PIPE,
        ).stdout
    )
    crates = {crate["id"]: crate for crate in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    [root] = [crate["id"] for crate in crates.values() if crate["name"] == package]
    linked, open_ids = set(), [root]
    while open_ids:
        crate_id = open_ids.pop()
        if crate_id not in linked:
            linked.add(crate_id)
            # Neither what tests need nor what builds need is linked.
            open_ids += [
                dependency["pkg"]
                for dependency in nodes[crate_id]["deps"]
                if any(kind["kind"] is None for kind in dependency["dep_kinds"])
            ]
    found = [crates[crate_id] for crate_id in linked if crates[crate_id]["source"]]
    return sorted(found, key=lambda crate: (crate["name"], crate["version"]))


def texts(package, target):
    """One text: each licence once, below the crates that have it."""
    by_text = {}
    without = []
    for crate in linked_crates(package, target):
        name = f"{crate['name']} {crate['version']} ({crate['license']})"
        directory = pathlib.Path(crate["manifest_path"]).parent
        files = sorted(
            file
            for file in directory.iterdir()
            if file.is_file() and file.name.lower().startswith(NAMES)
        )
        for file in files:
            text = file.read_text(encoding="utf-8", errors="replace").strip()
            by_text.setdefault(text, []).append(name)
        if not files:
            without.append(name)
    parts = ["What is linked into this program, and its licences.\n"]
    for text, names in sorted(by_text.items(), key=lambda part: part[1]):
        parts.append("\n".join(names) + "\n\n" + text + "\n")
    if without:
        parts.append("Without a text of their own:\n\n" + "\n".join(without) + "\n")
    return ("\n" + "-" * 80 + "\n\n").join(parts)
