# The template of every loss's rule, like `train`. The results of the search stay on disk, so that a changed metric does
# not repeat it.
rule optimise:
    input:
        dataset=rules.prepare.output.dataset,
        extractor=extractor,
        description=lambda wc: extractor(wc, "json"),
        start=lambda wc: start(wc, results.FIELDS),
        chosen=lambda wc: start(wc, results.SEARCH),
    output:
        fields=directory(optimised(f"{RESULTS}/{results.FIELDS}")),
        runtime=optimised(f"{RESULTS}/{results.record('optimise', RUN)}"),
    log:
        f"{RESULTS}/{results.log('optimise', RUN)}",
    wildcard_constraints:
        loss="(?!)",
    conda:
        env_path("train")
    threads: STUDY.config["threads"]
    resources:
        mem_mb=growing(4000),
        runtime=1440,
    params:
        recipe=lambda wc: STUDY.optimisation(wc.dataset, wc.method, wc.loss),
        options=options,
        work=f"{WORK}/optimise.{RUN.replace(os.sep, '.')}",
        better=lambda wc: metrics.card(primary(wc))["better"],
        code=lambda wc: scored_code("optimise", wc, *cards.modules(wc.loss)),
    script:
        script_path("optimise")


# One rule for all losses, because it does not affect fields or scores.
rule audit:
    input:
        dataset=rules.prepare.output.dataset,
        extractor=extractor,
        description=lambda wc: extractor(wc, "json"),
        fields=f"{RESULTS}/{results.FIELDS}",
        others=lambda wc: others(wc, results.FIELDS),
    output:
        audit=optimised(f"{RESULTS}/{results.AUDIT}"),
        trace=optimised(f"{RESULTS}/{results.TRACE}"),
        runtime=optimised(f"{RESULTS}/{results.record('audit', RUN)}"),
    log:
        f"{RESULTS}/{results.log('audit', RUN)}",
    conda:
        env_path("train")
    threads: STUDY.config["threads"]
    resources:
        mem_mb=growing(4000),
        runtime=1440,
    params:
        recipe=lambda wc: STUDY.optimisation(wc.dataset, wc.method, wc.loss),
        pairs=lambda wc: STUDY.audited(wc.dataset, wc.method),
        options=options,
        work=f"{WORK}/audit.{RUN.replace(os.sep, '.')}",
        better=lambda wc: metrics.card(primary(wc))["better"],
        code=lambda wc: scored_code("audit", wc, *cards.modules(wc.loss)),
    script:
        script_path("audit")


# After the choice of λ, and of test pairs: nothing is chosen by it.
rule consistency:
    input:
        dataset=rules.prepare.output.dataset,
        extractor=extractor,
        description=lambda wc: extractor(wc, "json"),
        fields=f"{RESULTS}/{results.FIELDS}",
        search=f"{RESULTS}/{results.SEARCH}",
    output:
        table=optimised(f"{RESULTS}/{results.CONSISTENCY}"),
        runtime=optimised(f"{RESULTS}/{results.record('consistency', RUN)}"),
    log:
        f"{RESULTS}/{results.log('consistency', RUN)}",
    conda:
        env_path("train")
    threads: STUDY.config["threads"]
    resources:
        mem_mb=growing(4000),
        runtime=1440,
    params:
        recipe=lambda wc: STUDY.optimisation(wc.dataset, wc.method, wc.loss),
        options=options,
        asked=STUDY.config["warp_consistency"],
        seed=STUDY.seeds[0],
        code=lambda wc: code("consistency", *cards.modules(wc.loss)),
    script:
        script_path("consistency")
