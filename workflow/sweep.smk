# One job a run, here or in a cluster's queue:
#   snakemake experiment --config experiment=la_transformer.table2 seeds=3
#   snakemake sweep --config paper=vit_baseline seeds=3 set="lr=1e-4,3e-4"
# What a run is, what it is kept by and where it lies says reidlab.experiments.runner.


localrules:
    experiment,
    sweep,


# Minutes, megabytes and cores of one run, for a cluster's queue; a profile's set-resources and
# set-threads replace them. The batches of the paper profile are read by eight processes.
NEEDS = {
    "smoke": {"runtime": 15, "mem_mb": 4000, "gpu": 0},
    "laptop": {"runtime": 120, "mem_mb": 6000, "gpu": 0},
    "paper": {"runtime": 1440, "mem_mb": 32000, "gpu": 1},
}[PROFILE]
THREADS = 8 if PROFILE == "paper" else 2


def asked(name):
    """An experiment by its name; "PAPER.sweep" is the one of the configuration."""
    from dataclasses import replace

    from reidlab import experiments

    try:
        if name.endswith(".sweep"):
            text = str(config["set"] or "")
            paper = name.removesuffix(".sweep")
            return experiments.sweep(paper, PROFILE, config["dataset"], config["seeds"], text)
        return replace(experiments.design(name), seeds=int(config["seeds"]))
    except ValueError as error:
        raise WorkflowError(str(error))


def results(name):
    """The files of an experiment's runs, or that of its table."""
    from reidlab.experiments.runner import ROWS, Workspace

    workspace, found = Workspace(PROFILE, folder=Path("runs/experiments")), asked(name)
    if found.rows is not None:
        return [str(workspace.results(found) / ROWS)]
    return [str(path) for path in workspace.files(found)]


def set_for(name):
    """The synthetic set that an experiment is run on; none with a folder of one's own."""
    data = asked(name).data
    if data in COURSES:
        return data
    if config["data_root"] or not data:
        return None
    for each, entry in COURSES.items():
        if entry["layout"] == data and (name.endswith(".sweep") or PROFILE == "smoke"):
            return each
    layouts = ", ".join(sorted({entry["layout"] for entry in COURSES.values()}))
    raise WorkflowError(
        f"{name} on {data} needs data_root, the folder of your copy; without one a sweep runs on "
        f"synthetic data in the layouts {layouts}"
    )


def data_for(name):
    """What says that the data of an experiment are complete."""
    return [data_folder(set_for(name)) + "/world.json"] if set_for(name) else []


def arguments(name):
    """How the command line names an experiment."""
    paper = name.removesuffix(".sweep")
    of_sweep = ["--dataset", config["dataset"], "--set", config["set"] or ""]
    first = [paper, "--profile", PROFILE, "--seeds", config["seeds"]]
    return [str(each) for each in first + (of_sweep if paper != name else [])]


def root_of(name):
    """The caller's data, or the synthetic set that a sweep takes in their place."""
    from reidlab.experiments.runner import takes

    found = asked(name)
    stand_in = "" if found.data in COURSES else set_for(name)
    root = config["data_root"] or (data_folder(stand_in) if stand_in else "")
    return ["--data-root", root] if root and "data_root" in takes(found) else []


rule sweep:
    input:
        lambda wildcards: results(f"{config['paper']}.sweep"),
    params:
        arguments=lambda wildcards: arguments(f"{config['paper']}.sweep"),
    shell:
        "{PYTHON:q} -m reidlab experiment show {params.arguments:q}"


rule experiment:
    input:
        lambda wildcards: results(config["experiment"]),
    params:
        arguments=lambda wildcards: arguments(config["experiment"]),
    shell:
        "{PYTHON:q} -m reidlab experiment show {params.arguments:q}"


rule train:
    # `update`: a finished run is not deleted before the job, which then reads it back. What lies
    # under runs/experiments/made is no output, so a failed or killed run keeps it and goes on.
    input:
        lambda wildcards: data_for(wildcards.experiment),
    output:
        update("runs/experiments/{experiment}/{where}/{cell}/seed{seed}.json"),
    log:
        "runs/experiments/{experiment}/{where}/{cell}/seed{seed}.log",
    wildcard_constraints:
        experiment="[^/]+",
        where=f"{PROFILE}-[^/]+",
        cell="[^/]+",
        seed="[0-9]+",
    params:
        arguments=lambda wildcards: arguments(wildcards.experiment) + root_of(wildcards.experiment),
        # More than one GPU for a run: accelerate starts a process for each.
        module=lambda wildcards, resources: (
            ["accelerate.commands.launch", "--num_processes", str(resources.gpu), "-m"]
            if resources.gpu > 1
            else []
        ),
    threads: THREADS
    resources:
        **NEEDS,
    shell:
        "REIDLAB_PROGRESS=plain OMP_NUM_THREADS={threads}"
        " {PYTHON:q} -m {params.module} reidlab experiment run {params.arguments:q}"
        " --only {wildcards.cell:q}/seed{wildcards.seed} > {log:q} 2>&1"


rule rows:
    output:
        update("runs/experiments/{experiment}/{where}/rows.jsonl"),
    wildcard_constraints:
        experiment="[^/]+",
        where=f"{PROFILE}-[^/]+",
    params:
        arguments=lambda wildcards: arguments(wildcards.experiment) + root_of(wildcards.experiment),
    threads: THREADS
    resources:
        **NEEDS,
    shell:
        "REIDLAB_PROGRESS=plain OMP_NUM_THREADS={threads}"
        " {PYTHON:q} -m reidlab experiment run {params.arguments:q}"
