# The template of every loss's rule. It matches nothing itself: workflow/rules/losses/<loss>.smk restricts it to a loss.
rule train:
    input:
        dataset=rules.prepare.output.dataset,
        extractor=extractor,
        description=lambda wc: extractor(wc, "json"),
    output:
        models=directory(trained(f"{RESULTS}/{results.MODELS}")),
        runtime=trained(f"{RESULTS}/{results.record('train', RUN)}"),
    log:
        f"{RESULTS}/{results.log('train', RUN)}",
    wildcard_constraints:
        loss="(?!)",
    conda:
        env_path("train")
    threads: STUDY.config["threads"]
    # no `gpu`: how many a training gets is a matter of the machine, so that the profile says it, in `default-resources`;
    # rules that have no use for one say None, which shuts that default out
    resources:
        mem_mb=growing(4000),
        runtime=1440,
    params:
        recipe=lambda wc: STUDY.training(wc.dataset, wc.method, wc.loss),
        options=options,
        work=f"{WORK}/train.{RUN.replace(os.sep, '.')}",
        code=lambda wc: scored_code(
            "train", wc, f"likeness.networks.{STUDY.methods[wc.method].kind}", *cards.modules(wc.loss)
        ),
    script:
        script_path("train")
