"""What scripts/peers.sh puts into build/peers, and why it is not there."""

from __future__ import annotations

import shutil

from tests.flow.kit import ROOT

MODULES = ROOT / "build/peers/node_modules"
NODE = shutil.which("node")


def missing(*packages: str) -> str:
    """Why one of these npm packages cannot be used here, or empty."""
    if NODE is None:
        return "node is not installed"
    for package in packages:
        if not (MODULES / package).is_dir():
            return f"{package} is not in build/peers: scripts/peers.sh puts it there"
    return ""
