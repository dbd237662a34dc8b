rule score:
    input:
        dataset=rules.prepare.output.dataset,
        fields=rules.register.output.fields,
    output:
        scores=f"{RESULTS}/scores/{RUN}.parquet",
        runtime=f"{RESULTS}/runtimes/score/{RUN}.json",
    params:
        code=code("score"),
    resources:
        mem_mb=4000,
    conda:
        env_path("score")
    script:
        script_path("score")


rule score_unregistered:
    input:
        dataset=rules.prepare.output.dataset,
    output:
        scores=f"{RESULTS}/scores/{{dataset}}/unregistered.parquet",
        runtime=f"{RESULTS}/runtimes/score/{{dataset}}/unregistered.json",
    params:
        code=code("score"),
    resources:
        mem_mb=4000,
    conda:
        env_path("score")
    script:
        script_path("score")
