# One job per loss rather than per dataset and variant, because importing torch takes longer than sampling a small
# dataset. A changed loss is therefore sampled again on all datasets; a changed set of datasets affects all losses.
rule sample_landscape:
    input:
        datasets=lambda wc: list(
            dict.fromkeys(f"{RESULTS}/data/{case['dataset']}" for case in landscape_cases(wc.loss))
        ),
        extractors=lambda wc: sampled_extractors(wc.loss),
        descriptions=lambda wc: sampled_extractors(wc.loss, "json"),
    output:
        profiles=f"{RESULTS}/landscape/{{loss}}.csv",
        runtime=f"{RESULTS}/runtimes/sample_landscape/{{loss}}.json",
    log:
        f"{RESULTS}/logs/sample_landscape/{{loss}}.log",
    wildcard_constraints:
        loss="[a-z0-9_]+",
    conda:
        env_path("train")
    threads: STUDY.config["threads"]
    resources:
        mem_mb=growing(4000),
        runtime=1440,
    params:
        cases=lambda wc: landscape_cases(wc.loss),
        seed=STUDY.seeds[0],
        threads=STUDY.config["threads"],
        code=lambda wc: code("sample_landscape", *cards.modules(wc.loss)),
    script:
        script_path("sample_landscape")


rule profiles:
    input:
        profiles=expand(f"{RESULTS}/landscape/{{loss}}.csv", loss=SAMPLED),
    output:
        table=f"{RESULTS}/tables/landscape.csv",
        profiles=f"{RESULTS}/landscape.parquet",
    log:
        f"{RESULTS}/logs/profiles.log",
    group:
        TOGETHER
    conda:
        env_path("plot")
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=None,
    params:
        code=code("profiles"),
    script:
        script_path("profiles")
