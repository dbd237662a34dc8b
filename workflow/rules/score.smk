SCORED = ("order", "unit", "per", "dimensions", "needs", "costly", "rank", "primary", "better")
"""What scores, and the choice of λ from them, use of the cards of metrics."""


# The fields of any method. Where they are temporary, an edited metric has the rule that made them run again, which for
# a network costs a pass over the pairs; a method that searches for its fields keeps what it found.
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
