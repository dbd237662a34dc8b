FIGURE_INPUTS = {
    "metrics": f"{RESULTS}/metrics.parquet",
    "curves": f"{RESULTS}/curves.parquet",
    "profiles": f"{RESULTS}/landscape.parquet",
    "summary": f"{RESULTS}/tables/summary.csv",
    "runs": f"{RESULTS}/tables/runs.csv",
    "selection": f"{RESULTS}/tables/selection.csv",
    "verdicts": f"{RESULTS}/tables/verdicts.csv",
    "measures": f"{RESULTS}/tables/landscape.csv",
    "audit": f"{RESULTS}/tables/audit.csv",
    "searches": f"{RESULTS}/tables/searches.csv",
    "comparisons": f"{RESULTS}/tables/comparisons.csv",
    "ranks": f"{RESULTS}/tables/ranks.csv",
    "agreement": f"{RESULTS}/tables/agreement.csv",
    "traces": f"{RESULTS}/traces.parquet",
    "runtime": f"{RESULTS}/tables/runtime.csv",
    "datasets": expand(f"{RESULTS}/data/{{dataset}}", dataset=STUDY.datasets),
    "prepared": expand(f"{RESULTS}/data/{{dataset}}", dataset=STUDY.datasets),
    "samples": runs(results.SAMPLE),
}
# checked here, because a missing input would only fail in a job after everything else
for name in FIGURES:
    for what in figures.card(name)["reads"]:
        if what not in {*FIGURE_INPUTS, "methods"}:
            said = suggest(what, [*FIGURE_INPUTS, "methods"])
            sys.exit(f"{figures.FOLDER / name}.py: CARD reads '{what}', which does not exist; {said}")
METRIC_LOOKS = ("title", "short", "better", "per", "needs", "rank", "primary")
METHOD_LOOKS = ("title", "order", "colour", "marker", "uses_loss", "has_lam", "optimised", "scale")


# Any figure; its card states inputs and caption, because Snakemake does not expand wildcards in captions.
rule plot:
    input:
        unpack(lambda wc: {what: FIGURE_INPUTS[what] for what in reads(wc) if what in FIGURE_INPUTS}),
    output:
        png=report(
            f"{RESULTS}/figures/{{figure}}.png",
            caption=caption("figure"),
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        pdf=f"{RESULTS}/figures/{{figure}}.pdf",
    log:
        f"{RESULTS}/logs/plot/{{figure}}.log",
    wildcard_constraints:
        figure="|".join(FIGURES),
    group:
        TOGETHER
    conda:
        env_path("plot")
    resources:
        mem_mb=4000,
        runtime=30,
        gpu=None,
    params:
        demonstration=STUDY.config["demonstration"],
        looks={loss: look(loss) for loss in STUDY.losses},
        metrics=lambda wc: scored(*METRIC_LOOKS) if {"metrics", "agreement", "comparisons"} & {*reads(wc)} else None,
        methods=lambda wc: methods(*METHOD_LOOKS) if "methods" in reads(wc) else None,
        caption=lambda wc: figures.card(wc.figure)["caption"],
        dpi=lambda wc: figures.card(wc.figure)["dpi"],
        reads=reads,
        runs=lambda wc: [list(run) for run in RUNS] if "samples" in reads(wc) else None,
        code=lambda wc: code("plot", f"likeness.figures.{wc.figure}"),
    script:
        script_path("plot")
