from snakemake.utils import min_version

min_version("9.27")


# A given configuration replaces the default one; Snakemake alone would merge them.
if not workflow.configfiles:

    configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/extractors.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/optimise.smk"
include: "workflow/rules/classical.smk"


for loss in STUDY.losses:

    include: f"workflow/rules/losses/{loss}.smk"


include: "workflow/rules/register.smk"
include: "workflow/rules/given.smk"
include: "workflow/rules/export.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/statistics.smk"
include: "workflow/rules/landscape.smk"
include: "workflow/rules/figures.smk"


# a study that tunes looks at no test pair
if not STUDY.tunes:

    include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        expand(f"{RESULTS}/figures/{{figure}}.{{kind}}", figure=DRAWN, kind=("png", "pdf")),
        expand(f"{RESULTS}/tables/{{table}}.csv", table=TABLES),
        expand(f"{RESULTS}/datasets/{{dataset}}.md", dataset=STUDY.datasets),
        f"{RESULTS}/metrics.parquet",
        f"{RESULTS}/tables/runtime.csv",
        # the leaves too: an aggregate that already exists would hide a new job whose input is missing
        runs(results.SCORES),
        exports(),
        expand(f"{RESULTS}/landscape/{{loss}}.csv", loss=SAMPLED),


onstart:
    check_files()
