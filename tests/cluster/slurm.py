"""A throw-away SLURM on this machine: one controller and a few virtual nodes that talk over loopback.

`python tests/cluster/slurm.py up` starts one and leaves it running, `down` ends it. SLURM reads its
configuration from /etc/slurm and munge its key from /etc/munge, both of which belong to root; a configuration
that this file did not write is never touched.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

CONFIGURATION = Path("/etc/slurm/slurm.conf")
WRITTEN = "# A throw-away SLURM, written by the tests of cortseq."
STATE = Path("/var/tmp/cortseq-slurm")  # spool folders, logs and process numbers
NODES = ("virtual1", "virtual2", "virtual3")
NODE_MB = 8000
PORT = 17000  # of the first node; the controller has the port before it

TEMPLATE = """\
{written}
ClusterName=throwaway
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation={state}/controller
SlurmdSpoolDir={state}/%n
SlurmctldPidFile={state}/controller.pid
SlurmdPidFile={state}/%n.pid
SlurmctldLogFile={state}/controller.log
SlurmdLogFile={state}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=5,sched_min_interval=200000
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
ReturnToService=2
SlurmdTimeout=10
KillWait=3
OverTimeLimit=0
MinJobAge=300
MaxJobCount=10000
MpiDefault=none
{nodes}
PartitionName=main Nodes={names} Default=YES MaxTime=INFINITE State=UP
PartitionName=second Nodes={names} MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Return why no SLURM can be started on this machine; "" where one can."""
    absent = [name for name in ("slurmctld", "slurmd", "munged", "squeue") if not _program(name)]
    if absent:
        return f"not installed: {', '.join(absent)} (apt-get install slurmctld slurmd slurm-client munge)"
    if os.geteuid():
        return "a throw-away SLURM writes /etc/slurm and must be started by root"
    if CONFIGURATION.exists() and not CONFIGURATION.read_text().startswith(WRITTEN):
        return f"{CONFIGURATION} belongs to a SLURM that is not a throw-away one"
    return ""


def up(cores: int = 1) -> None:
    """Start munge, the controller and all nodes, each with `cores` processor cores and one made-up GPU."""
    down()
    for folder in ("controller", *NODES):
        (STATE / folder).mkdir(parents=True)
    _configure(cores)
    if not _answers("munge", "-n"):
        _munge()
    subprocess.run([_program("slurmctld")], check=True)
    for node in NODES:
        start(node)
    wait(lambda: nodes().count("idle") == len(NODES), 60, "the nodes did not become idle")


def _configure(cores: int) -> None:
    """Write the configuration: the nodes differ by port, and each has a file of zeros for a GPU."""
    lines = [
        f"NodeName={name} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={PORT + i} CPUs={cores} "
        f"RealMemory={NODE_MB} Gres=gpu:1 State=UNKNOWN"
        for i, name in enumerate(NODES)
    ]
    (STATE / "gpu0").touch()
    CONFIGURATION.with_name("gres.conf").write_text(f"{WRITTEN}\nName=gpu File={STATE}/gpu0\n")
    CONFIGURATION.write_text(
        TEMPLATE.format(
            written=WRITTEN,
            host=socket.gethostname(),
            controller=PORT - 1,
            state=STATE,
            nodes="\n".join(lines),
            names=",".join(NODES),
        )
    )


def _munge() -> None:
    """Start munge with the key of its installation."""
    Path("/run/munge").mkdir(exist_ok=True)
    shutil.chown("/run/munge", "munge", "munge")
    subprocess.run(["runuser", "-u", "munge", "--", _program("munged")], check=True)
    (STATE / "munge.ours").touch()


def start(node: str) -> None:
    """Start the daemon of one node."""
    subprocess.run([_program("slurmd"), "-N", node], check=True)


def lose(node: str) -> None:
    """Kill a node as a power cut does: its daemon, and all that its jobs run."""
    _kill(STATE / f"{node}.pid", signal.SIGKILL)
    numbers = subprocess.run(
        ["squeue", "-h", "-w", node, "-t", "running", "-o", "%A"], capture_output=True, text=True
    ).stdout.split()
    for process in psutil.process_iter(["cmdline"]):
        words = " ".join(process.info["cmdline"] or ())
        if any(words.startswith(f"slurmstepd: [{number}.") for number in numbers):
            for one in [process, *process.children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()


def nodes() -> list[str]:
    """Return the state of every node, such as "idle" or "down*"."""
    answer = subprocess.run(["sinfo", "-h", "-N", "-p", "main", "-o", "%t"], capture_output=True, text=True)
    return answer.stdout.split()


def jobs(states: str = "all") -> list[str]:
    """Return a line with number, state and name of every job that the controller knows."""
    command = ["squeue", "-h", f"--states={states}", "-o", "%i %T %N %k"]
    return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()


def down() -> None:
    """End what `up` started, and remove what it wrote."""
    if not STATE.is_dir():
        return
    subprocess.run(["scancel", "--user=root"], capture_output=True, timeout=20)
    for name in (*NODES, "controller"):
        _kill(STATE / f"{name}.pid", signal.SIGTERM)
    if (STATE / "munge.ours").exists():
        _kill(Path("/run/munge/munged.pid"), signal.SIGTERM)
    for file in (CONFIGURATION, CONFIGURATION.with_name("gres.conf")):
        if file.exists() and file.read_text().startswith(WRITTEN):
            file.unlink()
    shutil.rmtree(STATE, ignore_errors=True)


def wait(ready: Callable[[], bool], seconds: float, why: str) -> None:
    """Wait until `ready()`, or raise TimeoutError with `why` and the states of nodes and jobs."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(f"{why}; nodes {nodes()}, jobs {jobs()}")
        time.sleep(0.5)


def _kill(file: Path, how: signal.Signals) -> None:
    """Send a signal to the process whose number is in a file, and wait until it has gone."""
    with contextlib.suppress(OSError, ValueError):
        process = int(file.read_text())
        os.kill(process, how)
        for _ in range(100):
            os.kill(process, 0)
            time.sleep(0.1)


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _answers(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0


if __name__ == "__main__":
    {"up": up, "down": down}[sys.argv[1]]()
