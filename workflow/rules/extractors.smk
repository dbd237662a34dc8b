rule pretrain:
    input:
        dataset=rules.prepare.output.dataset,
    output:
        weights=f"{RESULTS}/extractors/{{dataset}}/{{extractor}}/seed{{seed}}.safetensors",
        description=f"{RESULTS}/extractors/{{dataset}}/{{extractor}}/seed{{seed}}.json",
        curves=f"{RESULTS}/extractors/{{dataset}}/{{extractor}}/seed{{seed}}.csv",
        runtime=f"{RESULTS}/runtimes/pretrain/{{dataset}}/{{extractor}}/seed{{seed}}.json",
    log:
        f"{RESULTS}/logs/pretrain/{{dataset}}/{{extractor}}/seed{{seed}}.log",
    conda:
        env_path("train")
    threads: STUDY.config["threads"]
    resources:
        mem_mb=growing(4000),
        runtime=1440,
    params:
        recipe=lambda wc: STUDY.pretraining(wc.dataset),
        work=f"{WORK}/pretrain.{{dataset}}.{{extractor}}.seed{{seed}}",
        code=lambda wc: code("pretrain", f"likeness.extractors.{wc.extractor}"),
    script:
        script_path("pretrain")
