rule score:
    input:
        dataset=rules.prepare.output.dataset,
        fields=rules.register.output.fields,
    output:
        scores=f"{RESULTS}/scores/{RUN}.parquet",
        runtime=f"{RESULTS}/runtimes/score/{RUN}.json",
    log:
        f"{RESULTS}/logs/score/{RUN}.log",
    conda:
        env_path("score")
    resources:
        mem_mb=growing(4000),
        runtime=240,
        gpu=None,
    params:
        code=code("score"),
    script:
        script_path("score")


rule score_unregistered:
    input:
        dataset=rules.prepare.output.dataset,
    output:
        scores=f"{RESULTS}/scores/{{dataset}}/unregistered.parquet",
        runtime=f"{RESULTS}/runtimes/score/{{dataset}}/unregistered.json",
    log:
        f"{RESULTS}/logs/score/{{dataset}}/unregistered.log",
    conda:
        env_path("score")
    resources:
        mem_mb=growing(4000),
        runtime=240,
        gpu=None,
    params:
        code=code("score"),
    script:
        script_path("score")
