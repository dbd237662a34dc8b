def figure(name):
    """The two files of a figure; the picture is shown in Snakemake's report with its caption."""
    shown = report(f"{RESULTS}/figures/{name}.png", caption=caption(name), category="Figures", labels={"figure": name})
    return {"png": shown, "pdf": f"{RESULTS}/figures/{name}.pdf"}


rule test_score:
    input:
        metrics=rules.collect.output.metrics,
        summary=rules.summary.output.table,
        datasets=expand(rules.prepare.output.dataset, dataset=STUDY.datasets),
    output:
        **figure("test_score"),
    params:
        demonstration=STUDY.config["demonstration"],
        cards=shown(),
        code=code("plot_test_score"),
    resources:
        mem_mb=4000,
    conda:
        env_path("plot")
    script:
        script_path("plot_test_score")


rule smoothness_vs_dice:
    input:
        metrics=rules.collect.output.metrics,
        datasets=expand(rules.prepare.output.dataset, dataset=STUDY.datasets),
    output:
        **figure("smoothness_vs_dice"),
    params:
        demonstration=STUDY.config["demonstration"],
        cards=shown(),
        code=code("plot_smoothness_vs_dice"),
    resources:
        mem_mb=4000,
    conda:
        env_path("plot")
    script:
        script_path("plot_smoothness_vs_dice")


rule convergence:
    input:
        metrics=rules.collect.output.metrics,
        curves=rules.collect.output.curves,
        datasets=expand(rules.prepare.output.dataset, dataset=STUDY.datasets),
    output:
        **figure("convergence"),
    params:
        demonstration=STUDY.config["demonstration"],
        cards=shown(),
        code=code("plot_convergence"),
    resources:
        mem_mb=4000,
    conda:
        env_path("plot")
    script:
        script_path("plot_convergence")


rule tuning:
    input:
        metrics=rules.collect.output.metrics,
        datasets=expand(rules.prepare.output.dataset, dataset=STUDY.datasets),
    output:
        **figure("tuning"),
    params:
        demonstration=STUDY.config["demonstration"],
        cards=shown(),
        weights=STUDY.config["training"].get("weights", "balanced"),
        code=code("plot_tuning"),
    resources:
        mem_mb=4000,
    conda:
        env_path("plot")
    script:
        script_path("plot_tuning")


rule img_sample:
    input:
        metrics=rules.collect.output.metrics,
        datasets=expand(rules.prepare.output.dataset, dataset=STUDY.datasets),
        samples=runs(f"{RESULTS}/samples/{RUN}.npz"),
    output:
        **figure("img_sample"),
    params:
        demonstration=STUDY.config["demonstration"],
        cards=shown(),
        runs=[list(run) for run in STUDY.runs()],
        code=code("plot_img_sample"),
    resources:
        mem_mb=4000,
    conda:
        env_path("plot")
    script:
        script_path("plot_img_sample")
