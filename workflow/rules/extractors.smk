rule pretrain:
    input:
        dataset=rules.prepare.output.dataset,
    output:
        weights=f"{RESULTS}/extractors/{{dataset}}/{{extractor}}/seed{{seed}}.safetensors",
        description=f"{RESULTS}/extractors/{{dataset}}/{{extractor}}/seed{{seed}}.json",
        curves=f"{RESULTS}/extractors/{{dataset}}/{{extractor}}/seed{{seed}}.csv",
        runtime=f"{RESULTS}/runtimes/pretrain/{{dataset}}/{{extractor}}/seed{{seed}}.json",
    params:
        recipe=lambda wc: STUDY.pretraining(wc.dataset),
        work=f"{RESULTS}/work",
        code=lambda wc: code("pretrain", f"likeness.extractors.{wc.extractor}"),
    threads: STUDY.config["threads"]
    resources:
        mem_mb=4000,
    conda:
        env_path("train")
    script:
        script_path("pretrain")
