"""Builds of the product that differ by a patch: with a fault that a check must catch, or as another release would."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from machine import FUNCTIONS, LOCAL, ROOT, Failure, say

HOME = LOCAL / "broken"
TREE = HOME / "tree"
TARGET = HOME / "target"
# Where cargo keeps what it compiles of the sound tree: the dependencies are the same. Crates of ours are told apart by their version
# alone, since cargo knows them by their places in the tree: with the same one, a broken crate would be taken for the sound one.
SOUND, BROKEN = 'version = "0.1.0"', 'version = "0.1.1"'
BUILT = (ROOT / os.environ.get("CARGO_TARGET_DIR", "target")).resolve()


def build(patch: Path) -> Path:
    """The functions with `patch` in them; the folder of their programs. The sound ones are not touched."""
    touched = fresh_tree()
    done = subprocess.run(["git", "apply", patch], cwd=TREE, env={**os.environ, "GIT_CEILING_DIRECTORIES": str(HOME)},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(f"{patch.name} does not fit the source any more: {done.stderr.strip()}")
    if not changed():
        raise Failure(f"{patch.name} changes nothing")
    say(f"building with {patch.stem} ({touched} files renewed)")
    command: list[str | Path] = ["cargo", "build", "--quiet", "--locked", "--workspace", *[f"--bin={name}" for name in FUNCTIONS],
                                 "--target-dir", TARGET, "--config", f'build.build-dir="{BUILT}"']
    environment = {name: value for name, value in os.environ.items() if name != "CARGO_TARGET_DIR"}
    # Code that a patch leaves without a use is no news.
    built = subprocess.run(command, cwd=TREE, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if built.returncode:
        raise Failure(f"{patch.name} does not build:\n{built.stderr.strip()}")
    programs = HOME / patch.stem
    programs.mkdir(exist_ok=True)
    for name in FUNCTIONS:
        # Each build takes the place of the one before; a link would change with it.
        shutil.copy2(TARGET / "debug" / name, programs / name)
    return programs


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    return [Path(os.fsdecode(name)) for name in done.stdout.split(b"\0") if name]


def source(file: Path) -> bytes:
    """A file of the source, with the version of the broken crates."""
    content = (ROOT / file).read_bytes()
    if file == Path("Cargo.lock"):
        text = re.sub(rf'(name = "tollgate-[a-z0-9-]+"\n){SOUND}', rf"\1{BROKEN}", content.decode())
    elif file == Path("Cargo.toml"):
        text = content.decode().replace(f"\n{SOUND}", f"\n{BROKEN}", 1)
    else:
        return content
    if text.encode() == content:
        raise Failure(f"{file} has no version of ours")
    return text.encode()


def changed() -> list[Path]:
    """What differs in the copy from the source."""
    def differs(file: Path) -> bool:
        copy = TREE / file
        return not copy.exists() or copy.read_bytes() != source(file)

    return [file for file in tracked() if (ROOT / file).is_file() and differs(file)]


def fresh_tree() -> int:
    """Brings the copy of the source to what the source is. Cargo goes by the time of a file, so that one that is put back has the
    time of now, and one that did not change keeps its own."""
    files = changed()
    known = set(tracked())
    for copy in list(TREE.rglob("*")):
        if copy.is_file() and copy.relative_to(TREE) not in known:
            copy.unlink()
    for file in files:
        copy = TREE / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source(file))
        copy.chmod((ROOT / file).stat().st_mode)
    return len(files)
