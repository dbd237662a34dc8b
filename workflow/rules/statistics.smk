rule collect:
    input:
        scores=[*unregistered(results.SCORES), *runs(results.SCORES)],
        searches=runs(results.SEARCH),
        models=trainings(results.MODELS),
        extractors=pretrainings(f"extractors/{results.PRETRAINED}.csv"),
    output:
        metrics=f"{RESULTS}/metrics.parquet",
        curves=f"{RESULTS}/curves.parquet",
        selection=f"{RESULTS}/tables/selection.csv",
        runs=f"{RESULTS}/tables/runs.csv",
        searches=f"{RESULTS}/tables/searches.csv",
    log:
        f"{RESULTS}/logs/collect.log",
    group:
        TOGETHER
    conda:
        env_path("plot")
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=None,
    params:
        methods=methods("has_lam", "scale"),
        metrics=scored("needs", "per", "rank", "primary", "better"),
        learnt={run.place: path for run in RUNS if (path := learnt_curve(run))},
        code=code("collect"),
    script:
        script_path("collect")


rule verdicts:
    input:
        audits=audits(results.AUDIT),
        traces=audits(results.TRACE),
        datasets=expand(f"{RESULTS}/data/{{dataset}}", dataset=STUDY.datasets),
    output:
        audit=f"{RESULTS}/tables/audit.csv",
        verdicts=f"{RESULTS}/tables/verdicts.csv",
        traces=f"{RESULTS}/traces.parquet",
    log:
        f"{RESULTS}/logs/verdicts.log",
    group:
        TOGETHER
    conda:
        env_path("plot")
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=None,
    params:
        metrics=scored("needs", "rank", "primary", "better", "smallest"),
        code=code("verdicts"),
    script:
        script_path("verdicts")


rule runtime:
    input:
        records=[
            *pretrainings(results.record("pretrain", results.PRETRAINED)),
            *expand(f"{RESULTS}/runtimes/convert/{{extractor}}.json", extractor=STUDY.published),
            *unregistered(results.record("score", RUN)),
            *trainings(results.record("train", RUN)),
            *trainings(results.record("register", RUN)),
            *optimisations(results.record("optimise", RUN)),
            *audits(results.record("audit", RUN)),
            *warped_again(results.record("consistency", RUN)),
            *classical(results.record("classical", RUN)),
            *results.expand(f"{RESULTS}/{results.record('given', RUN)}", STUDY.givens()),
            *runs(results.record("score", RUN)),
            *expand(f"{RESULTS}/runtimes/sample_landscape/{{loss}}.json", loss=SAMPLED),
        ],
    output:
        runtime=f"{RESULTS}/tables/runtime.csv",
    log:
        f"{RESULTS}/logs/runtime.log",
    conda:
        env_path("plot")
    resources:
        mem_mb=2000,
        runtime=30,
        gpu=None,
    params:
        code=code("runtime"),
    script:
        script_path("runtime")


rule summary:
    input:
        metrics=rules.collect.output.metrics,
        selection=rules.collect.output.selection,
        datasets=expand(f"{RESULTS}/data/{{dataset}}", dataset=STUDY.datasets),
    output:
        table=f"{RESULTS}/tables/summary.csv",
    log:
        f"{RESULTS}/logs/summary.log",
    group:
        TOGETHER
    conda:
        env_path("plot")
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=None,
    params:
        confidence=STUDY.config["statistics"]["confidence"],
        order=stated("order"),
        supervision=stated("supervision"),
        methods=methods("order", "uses_loss", "optimised"),
        metrics=scored("per", "range", "unit"),
        code=code("summary"),
    script:
        script_path("summary")


rule comparisons:
    input:
        metrics=rules.collect.output.metrics,
        selection=rules.collect.output.selection,
        datasets=expand(f"{RESULTS}/data/{{dataset}}", dataset=STUDY.datasets),
    output:
        table=f"{RESULTS}/tables/comparisons.csv",
    log:
        f"{RESULTS}/logs/comparisons.log",
    group:
        TOGETHER
    conda:
        env_path("plot")
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=None,
    params:
        confidence=STUDY.config["statistics"]["confidence"],
        order=stated("order"),
        methods=methods("order", "uses_loss", "optimised"),
        metrics=scored("per", "better", "unit"),
        code=code("comparisons"),
    script:
        script_path("comparisons")


rule calibration:
    input:
        datasets=expand(f"{RESULTS}/data/{{dataset}}", dataset=STUDY.datasets),
    output:
        table=f"{RESULTS}/tables/calibration.csv",
    log:
        f"{RESULTS}/logs/calibration.log",
    conda:
        env_path("plot")
    resources:
        mem_mb=4000,
        runtime=120,
        gpu=None,
    params:
        simulations=STUDY.config["statistics"]["simulations"],
        code=code("calibration"),
    script:
        script_path("calibration")


rule contrasts:
    input:
        metrics=rules.collect.output.metrics,
        selection=rules.collect.output.selection,
        calibration=rules.calibration.output.table,
        datasets=expand(f"{RESULTS}/data/{{dataset}}", dataset=STUDY.datasets),
    output:
        table=f"{RESULTS}/tables/contrasts.csv",
    log:
        f"{RESULTS}/logs/contrasts.log",
    group:
        TOGETHER
    conda:
        env_path("plot")
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=None,
    params:
        contrasts=STUDY.config["contrasts"],
        options=STUDY.numbers,
        confidence=STUDY.config["statistics"]["confidence"],
        order=stated("order"),
        methods=methods("order", "uses_loss", "optimised"),
        metrics=scored("needs", "per", "rank", "primary", "better", "smallest", "unit"),
        code=code("contrasts"),
    script:
        script_path("contrasts")


rule claims:
    input:
        contrasts=rules.contrasts.output.table,
    output:
        table=f"{RESULTS}/tables/claims.csv",
    log:
        f"{RESULTS}/logs/claims.log",
    group:
        TOGETHER
    conda:
        env_path("plot")
    resources:
        mem_mb=2000,
        runtime=30,
        gpu=None,
    params:
        claims=STUDY.config["claims"],
        code=code("claims"),
    script:
        script_path("claims")


rule matched:
    input:
        metrics=rules.collect.output.metrics,
        datasets=expand(f"{RESULTS}/data/{{dataset}}", dataset=STUDY.datasets),
    output:
        table=f"{RESULTS}/tables/matched.csv",
    log:
        f"{RESULTS}/logs/matched.log",
    group:
        TOGETHER
    conda:
        env_path("plot")
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=None,
    params:
        confidence=STUDY.config["statistics"]["confidence"],
        methods=methods("path", "has_lam", "scale", "uses_loss", "optimised"),
        metrics=scored("needs", "per", "rank", "primary", "better"),
        code=code("matched"),
    script:
        script_path("matched")


rule tuning:
    input:
        selection=rules.collect.output.selection,
    output:
        table=f"{RESULTS}/tables/tuning.csv",
    log:
        f"{RESULTS}/logs/tuning.log",
    group:
        TOGETHER
    conda:
        env_path("plot")
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=None,
    params:
        tried={loss: STUDY.tried(loss) for loss in STUDY.losses},
        metrics=scored("needs", "rank", "primary", "better"),
        code=code("tuning"),
    script:
        script_path("tuning")


rule warp_consistency:
    input:
        pairs=warped_again(results.CONSISTENCY),
    output:
        table=f"{RESULTS}/tables/warp_consistency.csv",
    log:
        f"{RESULTS}/logs/warp_consistency.log",
    conda:
        env_path("plot")
    resources:
        mem_mb=2000,
        runtime=30,
        gpu=None,
    params:
        confidence=STUDY.config["statistics"]["confidence"],
        code=code("warp_consistency"),
    script:
        script_path("warp_consistency")


rule robustness:
    input:
        summary=rules.summary.output.table,
    output:
        table=f"{RESULTS}/tables/robustness.csv",
    log:
        f"{RESULTS}/logs/robustness.log",
    group:
        TOGETHER
    conda:
        env_path("plot")
    resources:
        mem_mb=2000,
        runtime=30,
        gpu=None,
    params:
        conditions=STUDY.conditions,
        primaries={name: metrics.primary(STUDY.capabilities[name]["parts"]) for name in STUDY.conditions},
        code=code("robustness"),
    script:
        script_path("robustness")


rule ranks:
    input:
        metrics=rules.collect.output.metrics,
        selection=rules.collect.output.selection,
        datasets=expand(f"{RESULTS}/data/{{dataset}}", dataset=STUDY.datasets),
    output:
        table=f"{RESULTS}/tables/ranks.csv",
    log:
        f"{RESULTS}/logs/ranks.log",
    group:
        TOGETHER
    conda:
        env_path("plot")
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=None,
    params:
        confidence=STUDY.config["statistics"]["confidence"],
        order=stated("order"),
        supervision=stated("supervision"),
        methods=methods("order", "uses_loss", "optimised"),
        metrics=scored("needs", "per", "rank", "primary", "better"),
        code=code("ranks"),
    script:
        script_path("ranks")


rule agreement:
    input:
        metrics=rules.collect.output.metrics,
        matched=rules.matched.output.table,
        datasets=expand(f"{RESULTS}/data/{{dataset}}", dataset=STUDY.datasets),
    output:
        table=f"{RESULTS}/tables/agreement.csv",
    log:
        f"{RESULTS}/logs/agreement.log",
    group:
        TOGETHER
    conda:
        env_path("plot")
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=None,
    params:
        confidence=STUDY.config["statistics"]["confidence"],
        order=stated("order"),
        supervision=stated("supervision"),
        methods=methods("order", "uses_loss", "optimised"),
        metrics=scored("needs", "per", "rank", "primary", "better", "unit"),
        code=code("agreement"),
    script:
        script_path("agreement")


rule picked:
    input:
        metrics=rules.collect.output.metrics,
        selection=rules.collect.output.selection,
        datasets=expand(f"{RESULTS}/data/{{dataset}}", dataset=STUDY.datasets),
    output:
        table=f"{RESULTS}/tables/picked.csv",
    log:
        f"{RESULTS}/logs/picked.log",
    group:
        TOGETHER
    conda:
        env_path("plot")
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=None,
    params:
        confidence=STUDY.config["statistics"]["confidence"],
        order=stated("order"),
        supervision=stated("supervision"),
        methods=methods("order", "uses_loss", "optimised"),
        metrics=scored("needs", "per", "rank", "primary", "better"),
        code=code("picked"),
    script:
        script_path("picked")


rule power:
    input:
        metrics=rules.collect.output.metrics,
        contrasts=rules.contrasts.output.table,
        datasets=expand(f"{RESULTS}/data/{{dataset}}", dataset=STUDY.datasets),
    output:
        table=f"{RESULTS}/tables/power.csv",
    log:
        f"{RESULTS}/logs/power.log",
    group:
        TOGETHER
    conda:
        env_path("plot")
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=None,
    params:
        confidence=STUDY.config["statistics"]["confidence"],
        order=stated("order"),
        methods=methods("order", "uses_loss", "optimised"),
        metrics=scored("per", "unit"),
        code=code("power"),
    script:
        script_path("power")


rule reproduction:
    input:
        summary=rules.summary.output.table,
    output:
        table=f"{RESULTS}/tables/reproduction.csv",
    log:
        f"{RESULTS}/logs/reproduction.log",
    group:
        TOGETHER
    conda:
        env_path("plot")
    resources:
        mem_mb=2000,
        runtime=30,
        gpu=None,
    params:
        methods=methods("kind", "uses_loss"),
        code=code("reproduction"),
    script:
        script_path("reproduction")
