SCORED = ("order", "unit", "per", "dimensions", "needs", "costly", "rank", "primary", "better")
"""Keys of the cards of metrics that scores and the choice of λ depend on."""


# Scores the fields of any method. If they are temporary, a changed metric reruns the rule that writes them, which for a
# network is a pass over the pairs; methods that search for fields keep their results.
rule score:
    input:
        dataset=rules.prepare.output.dataset,
        fields=f"{RESULTS}/{results.FIELDS}",
    output:
        scores=f"{RESULTS}/{results.SCORES}",
        search=f"{RESULTS}/{results.SEARCH}",
        sample=f"{RESULTS}/{results.SAMPLE}",
        runtime=f"{RESULTS}/{results.record('score', RUN)}",
    log:
        f"{RESULTS}/{results.log('score', RUN)}",
    conda:
        env_path("score")
    resources:
        mem_mb=growing(4000),
        runtime=240,
        gpu=None,
    params:
        methods=lambda wc: {wc.method: STUDY.methods[wc.method].plain("has_lam", "scale")},
        metrics=scored(*SCORED),
        code=code("score", *metrics.modules()),
    script:
        script_path("score")


rule score_unregistered:
    input:
        dataset=rules.prepare.output.dataset,
    output:
        scores=no_registration(results.SCORES),
        runtime=no_registration(results.record("score", RUN)),
    log:
        no_registration(results.log("score", RUN)),
    conda:
        env_path("score")
    resources:
        mem_mb=growing(4000),
        runtime=240,
        gpu=None,
    params:
        method=UNREGISTERED,
        metrics=scored(*SCORED),
        code=code("score", *metrics.modules()),
    script:
        script_path("score")
