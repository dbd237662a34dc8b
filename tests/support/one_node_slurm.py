"""A Slurm of one node on this machine, from Debian's packages, under the user's own name and without systemd."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

CORES = 8
"""More than the machine may have: as many as the largest job asks for, or it would wait for ever."""
GPUS = 4
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel", "squeue")
PATH = f"{os.environ['PATH']}:/usr/sbin"

# The jobs of `urgent` preempt those of `main`. Daemons that run in a sandbox can neither use control groups nor
# accounting, and a requeued job would otherwise wait for two minutes.
CONFIGURATION = """\
ClusterName=one
SlurmctldHost=localhost
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
AccountingStorageType=accounting_storage/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=2,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmdParameters=config_overrides
MinJobAge=3600
GresTypes=gpu
NodeName=localhost CPUs={cores} RealMemory=64000 Gres=gpu:{gpus}
PartitionName=main Nodes=localhost Default=YES PriorityTier=1
PartitionName=urgent Nodes=localhost PriorityTier=2
"""


@dataclass(frozen=True)
class Slurm:
    """A running Slurm."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What its commands need."""
        return {**os.environ, "PATH": f"{self.folder / 'bin'}:{PATH}", "SLURM_CONF": str(self.folder / "slurm.conf")}

    def __call__(self, *command: str) -> str:
        """Run one of its commands and give what it printed."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def jobs(self) -> list[dict[str, str]]:
        """Give what Slurm knows of every job, also of those that have ended."""
        lines = self("scontrol", "show", "job", "--oneliner").splitlines()
        return [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in lines if line.startswith("JobId=")]


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("", 0))
        return [one.getsockname()[1] for one in sockets]


def _configure(folder: Path) -> None:
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir(parents=True)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    text = CONFIGURATION.format(folder=folder, user=getpass.getuser(), ports=_free_ports(2), cores=CORES, gpus=GPUS)
    (folder / "slurm.conf").write_text(text)
    # a GPU is a file to Slurm, and no more is needed to see which jobs get one
    for number in range(GPUS):
        (folder / f"gpu{number}").touch()
    (folder / "gres.conf").write_text(f"NodeName=localhost Name=gpu File={folder}/gpu[0-{GPUS - 1}]\n")
    # the plugin's jobs start srun without the variable, as if its configuration were where an installed one is
    srun = folder / "bin" / "srun"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun", path=PATH)} "$@"\n')
    srun.chmod(0o755)


def _daemon(slurm: Slurm, held: ExitStack, *command: str) -> None:
    log = held.enter_context((slurm.folder / f"{command[0]}.out").open("w"))
    process = subprocess.Popen(
        command, env=slurm.environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )
    held.callback(process.wait)
    held.callback(process.terminate)


def _wait_for(what: Callable[[], object], message: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, message
        time.sleep(0.2)


def _idle(slurm: Slurm) -> bool:
    call = ("sinfo", "--noheader", "--format=%T", "--partition=main")
    return subprocess.run(call, env=slurm.environment, capture_output=True, text=True, check=False).stdout == "idle\n"


@contextmanager
def one_node(folder: Path) -> Iterator[Slurm]:
    """Run a Slurm for the length of a block; neither daemons nor jobs outlive it.

    Args:
        folder: made; its configuration, state and logs.

    Raises:
        AssertionError: if its programs are not installed, or its node does not come up.
    """
    missing = [name for name in PROGRAMS if not shutil.which(name, path=PATH)]
    assert not missing, f"{', '.join(missing)}: not installed; `make test-slurm` installs Slurm"
    _configure(folder)
    slurm = Slurm(folder)
    files = (f"--{name}={folder}/munge.{name.split('-')[0]}" for name in ("key-file", "socket", "pid-file", "log-file"))
    with ExitStack() as held:
        _daemon(slurm, held, "munged", "--foreground", "--force", *files, f"--seed-file={folder}/munge.seed")
        _wait_for((folder / "munge.socket").exists, f"munged does not start; its log is in {folder}")
        _daemon(slurm, held, "slurmctld", "-D")
        _daemon(slurm, held, "slurmd", "-D", "-N", "localhost")
        _wait_for(lambda: _idle(slurm), f"Slurm's node does not come up; the daemons' logs are in {folder}")
        try:
            yield slurm
        finally:
            slurm("scancel", f"--user={getpass.getuser()}")
            _wait_for(lambda: _idle(slurm), "a job does not end")
