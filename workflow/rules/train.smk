# The template of every loss's rule. It matches nothing itself; workflow/rules/losses/<loss>.smk restricts it to a loss.
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
    # without `gpu`, whose number depends on the machine and is set in the profile's `default-resources`; rules that
    # cannot use a GPU set it to None, which overrides that default
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
