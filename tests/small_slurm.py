"""A real Slurm on this machine's loopback: a partition of CPUs, and one whose node claims to have two GPUs."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SlurmdParameters=config_overrides
MpiDefault=none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobs.txt
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
GresTypes=gpu
NodeName=cpu0 NodeHostname={host} NodeAddr=127.0.0.1 Port={cpu_port} CPUs=2 RealMemory=60000 State=UNKNOWN
NodeName=gpu0 NodeHostname={host} NodeAddr=127.0.0.1 Port={gpu_port} CPUs=2 RealMemory=60000 Gres=gpu:2 State=UNKNOWN
PartitionName=cpu Nodes=cpu0 Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=gpu0 MaxTime=INFINITE State=UP
"""


def why_not() -> str:
    """Why no Slurm can be started here; empty where one can."""
    missing = [name for name in ("slurmctld", "slurmd", "sbatch", "munged") if shutil.which(name) is None]
    if missing:
        return f"no Slurm here: {', '.join(missing)} not found (apt-get install slurm-wlm munge)"
    return "" if os.geteuid() == 0 else "Slurm's daemons need root"


@contextlib.contextmanager
def running_slurm(folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which `sbatch` reaches it; `folder`/jobs.txt has a line per finished job. Raises
    `RuntimeError` with the daemons' last words where it does not come up."""
    host = socket.gethostname().split(".")[0]
    ports = {name: str(_free_port()) for name in ("port", "cpu_port", "gpu_port")}
    for name in ("state", "spool-cpu0", "spool-gpu0"):
        (folder / name).mkdir()
    (folder / "slurm.conf").write_text(CONFIGURATION.format(host=host, folder=folder, **ports))
    for number in range(2):
        (folder / f"gpu{number}").touch()
    (folder / "gres.conf").write_text(f"NodeName=gpu0 Name=gpu File={folder}/gpu[0-1]\n")
    (folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o400)
    environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
    munge = ["munged", "--foreground", "--force", f"--key-file={folder}/munge.key", f"--socket={folder}/munge.socket"]
    munge += [f"--pid-file={folder}/munge.pid", f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed"]
    daemons = [munge, ["slurmctld", "-D"], ["slurmd", "-D", "-N", "cpu0"], ["slurmd", "-D", "-N", "gpu0"]]
    # Snakemake's job inside the job looks where a cluster keeps it.
    usual = Path("/etc/slurm/slurm.conf")
    with contextlib.ExitStack() as started:
        if not usual.exists():
            usual.parent.mkdir(parents=True, exist_ok=True)
            usual.symlink_to(folder / "slurm.conf")
            started.callback(usual.unlink)
        for number, daemon in enumerate(daemons):
            log = started.enter_context(open(folder / f"{number}-{daemon[0]}.out", "w"))
            process = subprocess.Popen(daemon, env=environment, stdout=log, stderr=log)
            started.callback(_end, process)
            time.sleep(0.5)
        _wait_for_nodes(environment, folder)
        yield environment


def _wait_for_nodes(environment: dict[str, str], folder: Path) -> None:
    for _ in range(60):
        done = subprocess.run(
            ["sinfo", "-N", "-h", "-o", "%N %t"], env=environment, capture_output=True, text=True, check=False
        )
        if [line.split() for line in done.stdout.splitlines()] == [["cpu0", "idle"], ["gpu0", "idle"]]:
            return
        time.sleep(0.5)
    logs = "".join(path.read_text(errors="replace")[-600:] for path in sorted(folder.glob("*.out")))
    raise RuntimeError(f"Slurm did not come up: {done.stdout} {done.stderr} {logs}")


def _end(process: subprocess.Popen) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    process.kill()
    process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
