# The template of every loss's rule. It matches nothing itself: workflow/rules/losses/<loss>.smk restricts it to a loss.
rule train:
    input:
        dataset=rules.prepare.output.dataset,
        extractor=extractor,
    output:
        models=directory(f"{RESULTS}/models/{RUN}"),
        runtime=f"{RESULTS}/runtimes/train/{RUN}.json",
    wildcard_constraints:
        loss="(?!)",
    params:
        recipe=lambda wc: STUDY.training(wc.dataset, wc.network, wc.loss),
        options=lambda wc: STUDY.options(wc.loss, wc.variant),
        work=f"{RESULTS}/work",
        code=lambda wc: code("train", f"likeness.networks.{wc.network}", *loss_modules(wc.loss)),
    threads: STUDY.config["threads"]
    resources:
        mem_mb=4000,
    conda:
        env_path("train")
    script:
        script_path("train")
