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
        code=code("collect"),
    script:
        script_path("collect")


rule runtime:
    input:
        records=[
            *pretrainings(f"{RESULTS}/runtimes/pretrain/{{dataset}}/{{extractor}}/seed{{seed}}.json"),
            *expand(f"{RESULTS}/runtimes/convert/{{extractor}}.json", extractor=STUDY.published),
            *expand(f"{RESULTS}/runtimes/score/{{dataset}}/unregistered.json", dataset=STUDY.datasets),
            *runs(f"{RESULTS}/runtimes/train/{RUN}.json"),
            *runs(f"{RESULTS}/runtimes/register/{RUN}.json"),
            *runs(f"{RESULTS}/runtimes/score/{RUN}.json"),
            *expand(f"{RESULTS}/runtimes/probe/{{loss}}.json", loss=PROBED),
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
        statistics=STUDY.config["statistics"],
        order=stated("order"),
        supervision=stated("supervision"),
        code=code("summary"),
    script:
        script_path("summary")


rule comparisons:
    input:
        metrics=rules.collect.output.metrics,
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
        statistics=STUDY.config["statistics"],
        order=stated("order"),
        code=code("comparisons"),
    script:
        script_path("comparisons")
