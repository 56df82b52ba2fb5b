"""The machine that the doctor runs on: its disk, programs, GPU, limits and models."""

import hashlib
import importlib.util
import json
import os
import resource
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from models.catalogue import RELEASED, WEIGHTS, Catalogue
from models.errors import MatpropError
from workers.checkup.finding import Finding, fail, ok, size, warn
from workers.settings import WorkerSettings
from workers.software import versions
from workers.store import store_of

FSYNC_S = 0.05
FILES = 4_096  # connections, uploads and event streams, with some to spare
COMPILED = (
    "models.structures._near",
    "models.structures._cif",
    "models.networks._edges",
    "models.networks._folded",
)
GPU_S = 120.0
ASK_GPU = """
import json, sys, torch
device = sys.argv[1]
found = {"torch": torch.__version__, "built": torch.version.cuda, "there": torch.cuda.is_available()}
if found["there"] and device != "cpu":
    where = torch.device("cuda" if device == "auto" else device)
    x = torch.ones(64, 64, device=where)
    found["name"] = torch.cuda.get_device_name(where)
    found["works"] = bool((x @ x).sum().item() == 64**3)
    found["free"] = torch.cuda.mem_get_info(where)[0]
print(json.dumps(found))
"""


def of_state(settings: WorkerSettings, least_free: int) -> Iterator[Finding]:
    """Whether files can be kept, how many more, and how quickly they are safe."""
    folder = settings.state.expanduser().resolve()
    if not folder.is_dir():
        yield fail(
            "state", f"{folder} is no folder", "Make it, or set MATPROP_STATE to where it is."
        )
        return
    try:
        took = fsync_s(folder)
    except OSError as error:
        yield fail(
            "state",
            f"{folder} cannot be written: {error.strerror}",
            "Give this user the right, or mount it for writing.",
        )
        return
    if kind := volatile(folder):
        yield warn(
            "state",
            f"{folder} is a {kind}, which a restart empties",
            "Set MATPROP_STATE to a folder on a disk.",
        )
    elif took > FSYNC_S:
        yield warn(
            "state",
            f"{folder}: {1000 * took:.0f} ms until a file is safe",
            "Take a faster disk: every upload waits for it.",
        )
    else:
        yield ok("state", f"{folder}: written, safe after {1000 * took:.1f} ms")
    free, total = shutil.disk_usage(folder).free, shutil.disk_usage(folder).total
    told = f"{size(free)} of {size(total)} free"
    mend = "Delete old jobs and data sets, shorten MATPROP_RESULT_TTL_S, or enlarge the disk."
    if free < least_free:
        yield fail("disk", f"{told}: no upload is taken", mend)
    elif free < max(2e9, 5 * least_free):
        yield warn("disk", told, mend)
    else:
        yield ok("disk", told)
    nodes = os.statvfs(folder)
    if nodes.f_files and nodes.f_favail < 10_000:
        yield warn(
            "disk",
            f"room for {nodes.f_favail} more files only",
            "Delete old jobs, or make a file system with more inodes.",
        )


def fsync_s(folder: Path) -> float:
    """The middle one of five small files."""
    took = []
    for _ in range(5):
        path = folder / f".doctor-{secrets.token_hex(6)}"
        began = time.perf_counter()
        try:
            with path.open("xb") as file:
                file.write(b"x" * 4096)
                file.flush()
                os.fsync(file.fileno())
        finally:
            path.unlink(missing_ok=True)
        took.append(time.perf_counter() - began)
    return sorted(took)[2]


def volatile(folder: Path) -> str | None:
    """The kind of a file system that forgets (Linux)."""
    try:
        lines = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return None
    places = [(line.split()[1], line.split()[2]) for line in lines]
    under = [(at, kind) for at, kind in places if folder.resolve().is_relative_to(at)]
    kind = max(under, key=lambda one: len(one[0]), default=("", ""))[1]
    return kind if kind in ("tmpfs", "ramfs") else None


def of_store(settings: WorkerSettings) -> Iterator[Finding]:
    """Whether a file comes back from there as it was."""
    if not settings.store_url:
        return
    store, key = store_of(settings, patience_s=0), f"doctor/{secrets.token_hex(8)}"
    began = time.perf_counter()
    try:
        store.put_bytes(b"doctor", key)
        same = store.read(key)[0] == b"doctor"
        store.remove([key])
    except MatpropError as error:
        yield fail(
            "store",
            f"{settings.store_url}: {error}",
            "Check MATPROP_STORE_URL, MATPROP_STORE_ENDPOINT, and the credentials in the environment.",
        )
        return
    took = time.perf_counter() - began
    if not same:
        yield fail(
            "store",
            f"{settings.store_url}: a file came back otherwise",
            "This is no store to keep results in.",
        )
    elif took > 2:
        yield warn(
            "store",
            f"{settings.store_url}: {took:.1f} s to write, read and remove a file",
            "Use one that is nearer.",
        )
    else:
        yield ok(
            "store", f"{settings.store_url}: written, read and removed in {1000 * took:.0f} ms"
        )


def of_software() -> Iterator[Finding]:
    """Versions here, and whether they are those that are asked for."""
    yield ok("software", ", ".join(f"{name} {number}" for name, number in versions().items()))
    wrong = [one for text in requires("matprop") or () if (one := unmet(Requirement(text)))]
    if wrong:
        yield fail(
            "software",
            f"too old or missing: {', '.join(wrong)}",
            "pip install -c constraints.txt 'matprop[service,worker]'",
        )
    missing = [
        name.rpartition(".")[2] for name in COMPILED if importlib.util.find_spec(name) is None
    ]
    if missing and "torch" in versions():  # the service computes nothing
        yield warn(
            "compiled parts",
            f"missing: {', '.join(missing)}; the same is done in numpy, slower",
            "Install a C compiler and Python's headers, then pip install --force-reinstall --no-deps matprop",
        )
    elif not missing:
        yield ok("compiled parts", "all are there")


def unmet(needed: Requirement) -> str | None:
    """A package that is too old; of extras, only those that are installed count."""
    if needed.url or needed.name == "matprop":
        return None
    always = needed.marker is None or needed.marker.evaluate({"extra": ""})
    try:
        there = version(needed.name)
    except PackageNotFoundError:
        return str(needed.name) if always else None
    if needed.marker is not None and not always and "dev" in str(needed.marker):
        return None
    return (
        None
        if needed.specifier.contains(there, prereleases=True)
        else f"{needed.name} {there} (needs {needed.specifier})"
    )


def of_device(settings: WorkerSettings) -> Iterator[Finding]:
    """Whether networks can run where they are to; torch is asked in a process of its own."""
    if "torch" not in versions():
        yield ok("device", "torch is not installed here: inference and training run elsewhere")
        return
    try:
        done = subprocess.run(  # noqa: S603 (our own program, no shell)
            [sys.executable, "-P", "-c", ASK_GPU, settings.device],
            capture_output=True,
            text=True,
            timeout=GPU_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        yield fail(
            "device",
            f"torch did not answer within {GPU_S:.0f} s",
            "Look at `nvidia-smi`: the GPU may hang.",
        )
        return
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        yield fail(
            "device",
            f"torch on {settings.device}: {last[:200]}",
            "Install a torch that fits this machine's driver, or set MATPROP_DEVICE=cpu.",
        )
        return
    yield from judged(settings, json.loads(done.stdout))


def judged(settings: WorkerSettings, found: dict[str, Any]) -> Iterator[Finding]:
    """What torch told of the GPU."""
    asked, there = settings.device, found["there"]
    if there and asked != "cpu":
        if not found["works"]:
            yield fail(
                "device",
                f"{found['name']} computes wrongly",
                "Replace it, or set MATPROP_DEVICE=cpu.",
            )
            return
        yield ok("device", f"{found['name']}, {size(found['free'])} free (torch {found['torch']})")
    elif asked.startswith("cuda"):
        yield fail(
            "device",
            f"MATPROP_DEVICE={asked}, and torch {found['torch']} finds no GPU",
            "Install the driver and a torch built for CUDA, or set MATPROP_DEVICE=auto.",
        )
    elif asked == "auto" and Path("/dev/nvidia0").exists():
        yield warn(
            "device",
            f"there is a GPU that torch {found['torch']} cannot use",
            "Install a torch built for CUDA, or set MATPROP_DEVICE=cpu to mean it.",
        )
    else:
        yield ok("device", f"CPU (torch {found['torch']})")
    if settings.precision == "bfloat16" and not (there and asked != "cpu"):
        yield warn(
            "device",
            "MATPROP_PRECISION=bfloat16 on a CPU",
            "Leave it at float32: bfloat16 is for GPUs.",
        )


def of_models(settings: WorkerSettings) -> Iterator[Finding]:
    """Whether every card can be read and every file is what its card says."""
    catalogue = Catalogue((RELEASED, settings.state / "models"))
    cards, damaged = catalogue.list(), dict(catalogue.warnings())
    for card in cards:
        if card.id not in damaged and (
            fault := altered(card.weights_sha256, catalogue.get(card.id)[1])
        ):
            damaged[card.id] = fault
    for name, reason in damaged.items():
        yield fail(
            "models", f"{name}: {reason}", "Restore its folder from a copy, or delete that version."
        )
    if not cards:
        yield fail("models", "there are none", "Install matprop again: models ship with it.")
    elif not damaged:
        yield ok(
            "models",
            f"{len(cards)} versions of {len({card.name for card in cards})} models, weights as their cards say",
        )


def altered(digest: str, folder: Path) -> str | None:
    """Why the weights are not those that the card was written for."""
    path = folder / WEIGHTS
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"{WEIGHTS}: {error.strerror}"
    return None if found == digest else f"{WEIGHTS} is not the file that its card was written for"


def of_limits(settings: WorkerSettings) -> Iterator[Finding]:
    """Open files, and memory for a training."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES:
        yield warn(
            "open files",
            f"{soft} at most (up to {hard} may be asked for)",
            f"ulimit -n {FILES}, or LimitNOFILE= of its unit",
        )
    else:
        yield ok("open files", f"{soft} at most")
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return
    if "torch" in versions() and settings.train_memory_bytes > total:
        yield warn(
            "memory",
            f"a training may take {size(settings.train_memory_bytes)}, this machine has {size(total)}",
            "Lower MATPROP_TRAIN_MEMORY_BYTES on machines that train.",
        )
