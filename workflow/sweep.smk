# Many runs of one recipe: `snakemake sweep --config paper=... seeds=5`. See workflow/sweep.py.

from workflow.sweep import Sweep, SweepError, settings_of


localrules:
    sweep,


# Minutes, megabytes and cores of one run, for a cluster's queue; a profile's set-resources and
# set-threads replace them. The batches of the paper profile are read by eight processes.
NEEDS = {
    "smoke": {"runtime": 15, "mem_mb": 4000, "gpu": 0, "threads": 2},
    "laptop": {"runtime": 120, "mem_mb": 6000, "gpu": 0, "threads": 2},
    "paper": {"runtime": 1440, "mem_mb": 32000, "gpu": 1, "threads": 8},
}[PROFILE]


def asked_sweep():
    """The sweep of the configuration; looked at only when one is asked for."""
    try:
        return Sweep.from_config(config)
    except SweepError as error:
        raise WorkflowError(str(error))


def sweep_set(dataset):
    """The synthetic set that stands in for a data set."""
    for name, entry in COURSES.items():
        if entry["layout"] == dataset:
            return name
    layouts = ", ".join(sorted({entry["layout"] for entry in COURSES.values()}))
    raise WorkflowError(
        f"dataset={dataset} needs data_root, the folder of your copy; without one a sweep runs on "
        f"synthetic data in the layouts {layouts}"
    )


def sweep_root(dataset):
    return config["data_root"] or data_folder(sweep_set(dataset))


rule sweep:
    input:
        lambda wildcards: [str(path) for path in asked_sweep().records()],
    params:
        table=lambda wildcards: [
            str(config[name]) for name in ("paper", "profile", "dataset")
        ],
        seeds=config["seeds"],
        set=config["set"],
    shell:
        "{PYTHON:q} -m workflow.sweep {params.table:q} --seeds {params.seeds} --set {params.set:q}"


rule train:
    # `update`: a finished record is not deleted before the job, for training then reads it back.
    # The checkpoints beside it are no outputs, so a failed or killed run keeps them and goes on.
    input:
        lambda wildcards: (
            []
            if config["data_root"]
            else data_folder(sweep_set(wildcards.dataset)) + "/world.json"
        ),
    output:
        update("runs/sweep/{paper}/{profile}/{dataset}/{variant}/seed{seed}/record.json"),
    log:
        "runs/sweep/{paper}/{profile}/{dataset}/{variant}/seed{seed}/train.log",
    wildcard_constraints:
        paper="[^/]+",
        profile=PROFILE,
        dataset="[^/]+",
        variant="[^/]+",
        seed="[0-9]+",
    params:
        out=lambda wildcards, output: Path(output[0]).parent,
        root=lambda wildcards: sweep_root(wildcards.dataset),
        settings=lambda wildcards: [
            text for setting in settings_of(wildcards.variant) for text in ("--set", setting)
        ],
        # More than one GPU for a run: accelerate starts a process for each.
        module=lambda wildcards, resources: (
            ["accelerate.commands.launch", "--num_processes", str(resources.gpu), "-m"]
            if resources.gpu > 1
            else []
        ),
    threads: NEEDS["threads"]
    resources:
        runtime=NEEDS["runtime"],
        mem_mb=NEEDS["mem_mb"],
        gpu=NEEDS["gpu"],
    shell:
        "REIDLAB_PROGRESS=plain OMP_NUM_THREADS={threads}"
        " {PYTHON:q} -m workflow.locks {params.out:q} --"
        " {PYTHON:q} -m {params.module} reidlab train --paper {wildcards.paper}"
        " --profile {wildcards.profile} --dataset {wildcards.dataset} --root {params.root:q}"
        " --seed {wildcards.seed} --out {params.out:q} {params.settings:q} > {log:q} 2>&1"
