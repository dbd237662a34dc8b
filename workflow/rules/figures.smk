rule test_score:
    input:
        metrics=rules.collect.output.metrics,
        summary=rules.summary.output.table,
        datasets=expand(f"{RESULTS}/data/{{dataset}}", dataset=STUDY.datasets),
    output:
        **figure("test_score"),
    log:
        f"{RESULTS}/logs/test_score.log",
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
        cards=shown(),
        code=code("plot_test_score"),
    script:
        script_path("plot_test_score")


rule smoothness_vs_dice:
    input:
        metrics=rules.collect.output.metrics,
        datasets=expand(f"{RESULTS}/data/{{dataset}}", dataset=STUDY.datasets),
    output:
        **figure("smoothness_vs_dice"),
    log:
        f"{RESULTS}/logs/smoothness_vs_dice.log",
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
        cards=shown(),
        code=code("plot_smoothness_vs_dice"),
    script:
        script_path("plot_smoothness_vs_dice")


rule convergence:
    input:
        metrics=rules.collect.output.metrics,
        curves=rules.collect.output.curves,
        datasets=expand(f"{RESULTS}/data/{{dataset}}", dataset=STUDY.datasets),
    output:
        **figure("convergence"),
    log:
        f"{RESULTS}/logs/convergence.log",
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
        cards=shown(),
        code=code("plot_convergence"),
    script:
        script_path("plot_convergence")


rule tuning:
    input:
        metrics=rules.collect.output.metrics,
        datasets=expand(f"{RESULTS}/data/{{dataset}}", dataset=STUDY.datasets),
    output:
        **figure("tuning"),
    log:
        f"{RESULTS}/logs/tuning.log",
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
        cards=shown(),
        weights=STUDY.config["training"].get("weights", "balanced"),
        code=code("plot_tuning"),
    script:
        script_path("plot_tuning")


rule img_sample:
    input:
        # by path: beside a reference to a rule Snakemake compares every file of a long list with the whole list
        metrics=f"{RESULTS}/metrics.parquet",
        datasets=expand(f"{RESULTS}/data/{{dataset}}", dataset=STUDY.datasets),
        samples=runs(f"{RESULTS}/samples/{RUN}.npz"),
    output:
        **figure("img_sample"),
    log:
        f"{RESULTS}/logs/img_sample.log",
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
        cards=shown(),
        runs=[list(run) for run in STUDY.runs()],
        code=code("plot_img_sample"),
    script:
        script_path("plot_img_sample")
