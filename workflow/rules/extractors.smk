rule pretrain:
    input:
        dataset=rules.prepare.output.dataset,
    output:
        weights=f"{RESULTS}/extractors/{results.PRETRAINED}.safetensors",
        description=f"{RESULTS}/extractors/{results.PRETRAINED}.json",
        curves=f"{RESULTS}/extractors/{results.PRETRAINED}.csv",
        runtime=f"{RESULTS}/{results.record('pretrain', results.PRETRAINED)}",
    log:
        f"{RESULTS}/{results.log('pretrain', results.PRETRAINED)}",
    conda:
        env_path("train")
    threads: STUDY.config["threads"]
    resources:
        mem_mb=growing(4000),
        runtime=1440,
    params:
        recipe=lambda wc: STUDY.pretraining(wc.dataset),
        work=f"{WORK}/pretrain.{results.PRETRAINED.replace(os.sep, '.')}",
        code=lambda wc: code("pretrain", f"likeness.extractors.{wc.extractor}"),
    script:
        script_path("pretrain")


# Published weights. The files themselves are not outputs, because Snakemake deletes outputs before a job and when it
# fails, which would remove files copied by the user and partial downloads. The record states which files are meant and
# that they exist. Both rules run on the machine that runs Snakemake, which has access to the folder and most likely to
# the network. Snakemake does not retry, because the script does.
rule fetch:
    output:
        record=f"{RESULTS}/checkpoints/{{extractor}}.json",
    log:
        f"{RESULTS}/logs/fetch/{{extractor}}.log",
    wildcard_constraints:
        extractor=PUBLISHED,
    retries: 0
    localrule: True
    conda:
        env_path("train")
    resources:
        mem_mb=1000,
        runtime=1440,
        gpu=None,
    params:
        # without the folder, because moved files are the same; a model chosen by the study has a separate folder
        hashes=lambda wc: STUDY.source(wc.extractor).identity,
    script:
        script_path("fetch")


rule convert:
    input:
        record=rules.fetch.output.record,
    output:
        weights=f"{RESULTS}/extractors/{{extractor}}.safetensors",
        description=f"{RESULTS}/extractors/{{extractor}}.json",
        runtime=f"{RESULTS}/runtimes/convert/{{extractor}}.json",
    log:
        f"{RESULTS}/logs/convert/{{extractor}}.log",
    wildcard_constraints:
        extractor=PUBLISHED,
    retries: 0
    localrule: True
    conda:
        env_path("train")
    resources:
        mem_mb=growing(8000),
        runtime=60,
        gpu=None,
    params:
        code=lambda wc: code("convert", f"likeness.extractors.{wc.extractor}"),
    script:
        script_path("convert")
