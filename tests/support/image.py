"""The image built without a container engine, on a Debian made for it, and run in namespaces of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.clock import PATIENCE, eventually

ROOT = Path(__file__).parents[2]
NEEDED = ("buildah", "debootstrap", "unshare", "nsenter", "setpriv")
# Settings of pip that say where packages come from here; the build gets them from outside, as a mounted file.
_PIP = {"index-url", "extra-index-url", "find-links", "cert", "trusted-host", "proxy", "timeout"}


def missing() -> str | None:
    """Return why no image can be built here, None when it can."""
    lacking = [name for name in NEEDED if shutil.which(name) is None]
    if lacking:
        return f"not installed: {', '.join(lacking)}"
    if os.geteuid() != 0:
        return "debootstrap and chroot need root"
    tried = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False)
    return None if tried.returncode == 0 else "no namespaces may be made here"


def _run(*command: object, timeout: float = 300) -> str:
    made = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=timeout, check=False, cwd=ROOT
    )
    assert made.returncode == 0, (
        f"{command[0]} ended with {made.returncode}:\n{made.stdout[-4000:]}{made.stderr[-4000:]}"
    )
    return made.stdout


def _pip_settings(file: Path) -> list[str]:
    """Write what pip is told here to a file; returns the mounts that a build needs to be told the same."""
    kept: dict[str, str] = {}
    mounts = [f"--volume={file}:/etc/pip.conf:ro"]
    for line in _run(sys.executable, "-m", "pip", "config", "list").splitlines():
        name, _, value = line.partition("=")
        key, words = name.rpartition(".")[2], value.strip("'\"").replace("\\n", " ").split()
        if key == "cert":
            mounts.append(f"--volume={words[0]}:{words[0]}:ro")
        else:  # folders of this machine are not there in a build
            words = [word for word in words if not word.startswith(("/", "file:"))]
        if key in _PIP and words:
            kept[key] = " ".join(words)
    file.write_text("[global]\n" + "".join(f"{key} = {value}\n" for key, value in kept.items()))
    return list(dict.fromkeys(mounts))


class Builder:
    """Builds images in a store of its own, which is all in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mounts = _pip_settings(folder / "pip.conf")

    def buildah(self, *arguments: object, timeout: float = 300) -> str:
        store = [f"--root={self.folder / 'images'}", f"--runroot={self.folder / 'run'}"]
        return _run("buildah", *store, *arguments, timeout=timeout).strip()

    def make_base(self) -> None:
        """Make the plain Debian with Python that stands in for the official image."""
        release = Path("/etc/os-release").read_text()
        suite = next(line.partition("=")[2] for line in release.splitlines() if line.startswith("VERSION_CODENAME="))
        tree = self.folder / "debian"
        _run("debootstrap", "--variant=minbase", "--include=python3-venv,ca-certificates", suite, tree)
        container = self.buildah("from", "scratch")
        self.buildah("add", "--quiet", container, tree, "/")
        self.buildah("commit", "--quiet", "--rm", container, "base")
        shutil.rmtree(tree)

    def build(self, target: str | None = None, **arguments: str) -> "Image":
        """Build the Dockerfile, to its end or to a target, and unpack what came of it."""
        driver = json.loads(self.buildah("info"))["store"]["GraphDriverName"]
        reuse = ["--layers"] if driver == "overlay" else []  # elsewhere every layer would be a whole copy
        named = {"BASE_IMAGE": "localhost/base", **arguments}
        options = [*reuse, *self._mounts, *(f"--build-arg={name}={value}" for name, value in named.items())]
        if target is not None:
            options.append(f"--target={target}")
        tag = target or "default"
        self.buildah("build", "--isolation=chroot", "--format=docker", *options, f"--tag={tag}", ROOT, timeout=600)
        described = json.loads(self.buildah("inspect", "--type=image", tag))["Docker"]["config"]
        container = self.buildah("from", f"localhost/{tag}")
        return Image(Path(self.buildah("mount", container)), described)

    def close(self) -> None:
        """Let go of what is mounted."""
        self.buildah("rm", "--all")


class Image:
    """The files of an image and what it says about itself."""

    def __init__(self, root: Path, described: Mapping[str, Any]) -> None:
        self.root = root
        self.described = described

    @property
    def user(self) -> int:
        return int(self.described["User"].partition(":")[0])

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.described["Labels"])

    def command(self, arguments: list[str], environment: Mapping[str, str]) -> list[str]:
        """Return what a shell is to become to run this in the image, as an engine would."""
        variables = [*self.described["Env"], *(f"{name}={value}" for name, value in environment.items())]
        inside = ["env", "-i", f"--chdir={self.described['WorkingDir']}", *variables]
        user, _, group = self.described["User"].partition(":")
        nobody = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--bounding-set=-all"]
        limited = ["chroot", str(self.root), *nobody, "--inh-caps=-all", "--no-new-privs"]
        return [*limited, *inside, *self.described["Entrypoint"], *arguments]

    @contextmanager
    def running(self, mounts: Mapping[str, Path], environment: Mapping[str, str]) -> Iterator["Container"]:
        """Run what the image runs on its own: first in a PID namespace, read-only but for its volumes' mounts."""
        container = Container(self, mounts, environment)
        try:
            yield container
        finally:
            container.end()


class Container:
    """A running image. Its network is the host's, its processes and mounts are its own."""

    def __init__(self, image: Image, mounts: Mapping[str, Path], environment: Mapping[str, str]) -> None:
        self.image = image
        self._environment = environment
        root = image.root
        lines = ["set -e", f"mount --rbind {root} {root}", f"mount -o remount,bind,ro {root}"]
        lines += [f"mount -t proc proc {root}/proc", f"mount --rbind /dev {root}/dev"]
        for place, source in mounts.items():
            (root / place.lstrip("/")).mkdir(parents=True, exist_ok=True)
            lines.append(f"mount --bind {source} {root}{place}")
        script = "\n".join([*lines, 'exec "$@"'])
        command = image.command(image.described["Cmd"], environment)
        self._outer = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh", *command],
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        serving = self.wait_for_log("serving")
        self.port, self.admin = int(serving["port"]), int(serving["adminPort"])

    def _read(self) -> None:
        assert self._outer.stderr is not None
        self.lines.extend(self._outer.stderr)  # a line at a time

    def wait_for_log(self, message: str) -> dict[str, Any]:
        """Return the first log line with this message, once it is there."""

        def found() -> list[dict[str, Any]]:
            entries = [json.loads(line) for line in list(self.lines) if line.startswith("{")]
            return [entry for entry in entries if entry["message"] == message]

        eventually(lambda: found() or self._outer.poll() is not None)
        assert found(), "".join(self.lines)
        return found()[0]

    @property
    def pid(self) -> int:
        """The process number, as seen from here, of what is number 1 inside."""
        [inner] = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text().split()
        return int(inner)

    def processes(self) -> dict[int, dict[str, str]]:
        """Return the status of every process inside, by its number inside."""
        found = {}
        for pid in self._descendants(self.pid):
            text = Path(f"/proc/{pid}/status").read_text()
            status = dict(line.split(":\t", 1) for line in text.splitlines())
            found[int(status["NSpid"].split()[-1])] = status
        return found

    def _descendants(self, pid: int) -> Iterator[int]:
        yield pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield from self._descendants(int(child))

    def execute(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the image's program beside the one that runs."""
        command = self.image.command([*arguments], {**self._environment, **environment})
        entered = ["nsenter", f"--target={self.pid}", "--mount", "--pid", *command]
        return subprocess.run(entered, capture_output=True, text=True, timeout=PATIENCE, check=False)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout: float = 15) -> int:
        """Return the exit code, once it has ended."""
        return self._outer.wait(timeout)

    def end(self) -> None:
        """End it, if it still runs, and all that is in it."""
        if self._outer.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self._outer.wait(10)
        self._reader.join(5)
        if self._outer.stderr is not None:
            self._outer.stderr.close()
