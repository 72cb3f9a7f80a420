"""Generates smsproxy/rpc/gen/ from the .proto files. `make proto` runs it; `--check` is the drift check.

Two products of one protoc run: betterproto2 messages with grpclib stubs and service bases (typed, for the
rare methods and for clients), and a serialized FileDescriptorSet, from which the daemon builds its fast
message classes and answers reflection. The result depends on nothing but the .proto files and the pinned
tools: the run happens in an empty directory, out of reach of this repository's formatter settings.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROTOS = Path(__file__).resolve().parent
GEN = PROTOS.parent / "smsproxy" / "rpc" / "gen"
DESCRIPTORS = "descriptors.binpb"
OPTIONS = "server_generation=async,client_generation=async"


def generate(into: Path) -> None:
    """Run protoc; `into` gets the whole tree. Raises SystemExit with protoc's words when it fails."""
    # The plugin calls `ruff` by name, and ruff looks for settings in the working directory and above.
    bin_dir = str(Path(sys.executable).parent)
    path = bin_dir + os.pathsep + os.environ.get("PATH", "")
    env = {**os.environ, "PATH": path, "XDG_CONFIG_HOME": str(into)}
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"-I{PROTOS}",
        f"--plugin=protoc-gen-python_betterproto2={bin_dir}/protoc-gen-python_betterproto2",
        f"--python_betterproto2_out={into}",
        f"--python_betterproto2_opt={OPTIONS}",
        f"--descriptor_set_out={into / DESCRIPTORS}",
        "--include_imports",
        *sorted(str(path) for path in PROTOS.rglob("*.proto")),
    ]
    done = subprocess.run(command, cwd=into, env=env, capture_output=True, text=True, check=False)  # noqa: S603 - our own arguments
    if done.returncode:
        raise SystemExit(f"protoc failed:\n{done.stderr}")


def tree(root: Path) -> dict[str, bytes]:
    """Relative path to content of everything below `root` but byte code and caches."""
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def drift(committed: dict[str, bytes], fresh: dict[str, bytes]) -> list[str]:
    """One line per file that differs, is missing, or should not be there."""
    lines = []
    for name in sorted(committed.keys() | fresh.keys()):
        if name not in committed:
            lines.append(f"{name}: missing")
        elif name not in fresh:
            lines.append(f"{name}: not generated from any .proto file")
        elif committed[name] != fresh[name]:
            lines.append(f"{name}: differs from what the .proto files give")
    return lines


def write(fresh: dict[str, bytes], into: Path) -> None:
    """Make `into` hold exactly `fresh`; files that are right already are not touched."""
    have = tree(into)
    for name in have.keys() - fresh.keys():
        (into / name).unlink()
    for name, content in fresh.items():
        if have.get(name) != content:
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            (into / name).write_bytes(content)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 and name what drifted")
    parser.add_argument("--gen", type=Path, default=GEN, help="the generated package (default: %(default)s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="smsproxy-proto-") as name:
        generate(Path(name))
        fresh = tree(Path(name))
    if options.check:
        drifted = drift(tree(options.gen), fresh)
        for line in drifted:
            sys.stderr.write(f"{options.gen.name}/{line}; run `make proto`\n")
        return 1 if drifted else 0
    write(fresh, options.gen)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
