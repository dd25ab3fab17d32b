"""What is installed: one top-level package, with the linked rooms in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import autosteer

ROOT = Path(__file__).parents[1]


def test_the_rooms_are_links_into_the_package() -> None:
    for room in ("devices", "policies", "sims"):
        link = ROOT / "autosteer" / room
        assert link.is_symlink()
        assert link.readlink() == Path("..") / room


def test_a_wheel_holds_one_package_with_all_rooms() -> None:
    code = (
        "from setuptools import find_packages\n"
        "print(*find_packages(include=['autosteer*']), sep='\\n')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    packages = set(done.stdout.split())
    assert {name.split(".")[0] for name in packages} == {"autosteer"}
    rooms = {path.parent.name for path in (ROOT / "autosteer").glob("*/__init__.py")}
    assert {f"autosteer.{room}" for room in rooms} <= packages


def test_the_package_alone_imports_nothing() -> None:
    code = "import sys, autosteer; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "torch", "bluesky", "zmq"} & set(done.stdout.split())
    assert (Path(autosteer.__file__).parent / "py.typed").is_file()
