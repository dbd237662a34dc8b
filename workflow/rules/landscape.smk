# One job for a loss, not for each of its datasets and variants: to import torch takes longer than to probe a small
# dataset. So an edited loss is probed anew on all of them and no other loss is; of another set of datasets all losses are.
rule probe:
    input:
        datasets=lambda wc: list(dict.fromkeys(f"{RESULTS}/data/{case['dataset']}" for case in probes(wc.loss))),
        extractors=lambda wc: probed_extractors(wc.loss),
        descriptions=lambda wc: probed_extractors(wc.loss, "json"),
    output:
        profiles=f"{RESULTS}/landscape/{{loss}}.csv",
        runtime=f"{RESULTS}/runtimes/probe/{{loss}}.json",
    log:
        f"{RESULTS}/logs/probe/{{loss}}.log",
    wildcard_constraints:
        loss="[a-z0-9_]+",
    conda:
        env_path("train")
    threads: STUDY.config["threads"]
    resources:
        mem_mb=growing(4000),
        runtime=1440,
    params:
        cases=lambda wc: probes(wc.loss),
        needs=lambda wc: sorted(cards.card(wc.loss)["requires"]),
        seed=STUDY.seeds[0],
        threads=STUDY.config["threads"],
        code=lambda wc: code("probe", *cards.modules(wc.loss)),
    script:
        script_path("probe")


rule profiles:
    input:
        profiles=expand(f"{RESULTS}/landscape/{{loss}}.csv", loss=PROBED),
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
