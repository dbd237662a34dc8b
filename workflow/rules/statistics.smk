rule collect:
    input:
        scores=[
            *expand(f"{RESULTS}/scores/{{dataset}}/unregistered.parquet", dataset=STUDY.datasets),
            *runs(f"{RESULTS}/scores/{RUN}.parquet"),
        ],
        models=runs(f"{RESULTS}/models/{RUN}"),
    output:
        metrics=f"{RESULTS}/metrics.parquet",
        curves=f"{RESULTS}/curves.parquet",
        selection=f"{RESULTS}/tables/selection.csv",
    params:
        code=code("collect"),
    resources:
        mem_mb=4000,
    conda:
        env_path("plot")
    script:
        script_path("collect")


rule runtime:
    input:
        records=[
            *pretrainings(f"{RESULTS}/runtimes/pretrain/{{dataset}}/{{extractor}}/seed{{seed}}.json"),
            *expand(f"{RESULTS}/runtimes/score/{{dataset}}/unregistered.json", dataset=STUDY.datasets),
            *runs(f"{RESULTS}/runtimes/train/{RUN}.json"),
            *runs(f"{RESULTS}/runtimes/register/{RUN}.json"),
            *runs(f"{RESULTS}/runtimes/score/{RUN}.json"),
        ],
    output:
        runtime=f"{RESULTS}/tables/runtime.csv",
    params:
        code=code("runtime"),
    conda:
        env_path("plot")
    script:
        script_path("runtime")


rule summary:
    input:
        metrics=rules.collect.output.metrics,
    output:
        table=f"{RESULTS}/tables/summary.csv",
    params:
        statistics=STUDY.config["statistics"],
        code=code("summary"),
    resources:
        mem_mb=4000,
    conda:
        env_path("plot")
    script:
        script_path("summary")


rule comparisons:
    input:
        metrics=rules.collect.output.metrics,
    output:
        table=f"{RESULTS}/tables/comparisons.csv",
    params:
        statistics=STUDY.config["statistics"],
        code=code("comparisons"),
    resources:
        mem_mb=4000,
    conda:
        env_path("plot")
    script:
        script_path("comparisons")
