# The template of every loss's rule. It matches nothing itself: workflow/rules/losses/<loss>.smk restricts it to a loss.
rule train:
    input:
        dataset=rules.prepare.output.dataset,
        extractor=extractor,
    output:
        models=directory(f"{RESULTS}/models/{RUN}"),
        runtime=f"{RESULTS}/runtimes/train/{RUN}.json",
    log:
        f"{RESULTS}/logs/train/{RUN}.log",
    wildcard_constraints:
        loss="(?!)",
    conda:
        env_path("train")
    threads: STUDY.config["threads"]
    resources:
        mem_mb=4000,
    params:
        recipe=lambda wc: STUDY.training(wc.dataset, wc.network, wc.loss),
        options=lambda wc: STUDY.options(wc.loss, wc.variant),
        work=f"{RESULTS}/work",
        code=lambda wc: code("train", f"likeness.networks.{wc.network}", *loss_modules(wc.loss)),
    script:
        script_path("train")
