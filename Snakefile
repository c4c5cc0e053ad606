# The door: `snakemake --cores N`, `--configfile config/studies/X.yaml` for another study.
include: "workflow/Snakefile"


rule all:
    default_target: True
    input:
        COMPARED,
        DEMONSTRATED,
