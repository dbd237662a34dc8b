import hashlib

TOLD = ("title", "order", "supervision", "formula", "doi", "invariances", "requires", "extractor", "oracle")
PAGE = Path(workflow.basedir) / "workflow" / "lib" / "likeness" / "report" / "templates"


# Nothing is registered or tested here: the table puts those of others beside each other.
rule leaderboard:
    input:
        metrics=rules.collect.output.metrics,
        matched=rules.matched.output.table,
        summary=rules.summary.output.table,
        ranks=rules.ranks.output.table,
        runtime=rules.runtime.output.runtime,
    output:
        csv=f"{RESULTS}/tables/leaderboard.csv",
        tex=f"{RESULTS}/tables/leaderboard.tex",
        md=f"{RESULTS}/tables/leaderboard.md",
    log:
        f"{RESULTS}/logs/leaderboard.log",
    conda:
        env_path("plot")
    resources:
        mem_mb=4000,
        runtime=30,
        gpu=None,
    params:
        confidence=STUDY.config["statistics"]["confidence"],
        methods=methods("title", "order", "uses_loss", "optimised", "has_lam"),
        looks={loss: look(loss) for loss in STUDY.losses},
        told={loss: {key: cards.card(loss).get(key) for key in TOLD} for loss in STUDY.losses},
        metrics=scored("title", "short", "needs", "per", "rank", "primary", "better", "unit"),
        code=code("leaderboard"),
    script:
        script_path("leaderboard")


rule report:
    input:
        metrics=rules.collect.output.metrics,
        tables=expand(f"{RESULTS}/tables/{{table}}.csv", table=[*TABLES, "leaderboard", "selection", "runtime"]),
        figures=expand(f"{RESULTS}/figures/{{figure}}.{{kind}}", figure=DRAWN, kind=("png", "pdf")),
        datasets=expand(f"{RESULTS}/data/{{dataset}}", dataset=STUDY.datasets),
        sheets=expand(f"{RESULTS}/datasets/{{dataset}}.json", dataset=STUDY.datasets),
        samples=runs(results.SAMPLE),
    output:
        page=f"{RESULTS}/report.html",
    log:
        f"{RESULTS}/logs/report.log",
    conda:
        env_path("score")
    resources:
        mem_mb=4000,
        runtime=30,
        gpu=None,
    params:
        study={key: STUDY.config[key] for key in ("title", "demonstration", "statistics")},
        configuration=CONFIGFILES,
        methods=methods("title", "order", "colour", "uses_loss", "has_lam", "optimised"),
        looks={loss: look(loss) for loss in STUDY.losses},
        told={loss: {key: cards.card(loss).get(key) for key in TOLD} for loss in STUDY.losses},
        captions={name: figures.card(name)["caption"] for name in DRAWN},
        metrics=scored("title", "doi", "needs", "per", "rank", "primary", "better"),
        runs=[list(run) for run in RUNS],
        templates=hashlib.sha256(b"".join(path.read_bytes() for path in sorted(PAGE.iterdir()))).hexdigest(),
        code=code("report"),
    script:
        script_path("report")
