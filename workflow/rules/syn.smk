# The fields stay on disk, so that a changed metric does not repeat the search.
rule syn:
    input:
        dataset=rules.prepare.output.dataset,
        extractor=features,
        description=lambda wc: features(wc, "json"),
    output:
        fields=directory(by_syn(f"{RESULTS}/{results.FIELDS}")),
        runtime=by_syn(f"{RESULTS}/{results.record('syn', RUN)}"),
    log:
        f"{RESULTS}/{results.log('syn', RUN)}",
    conda:
        env_path("itk")
    resources:
        mem_mb=growing(4000),
        runtime=1440,
        gpu=None,
    params:
        recipe=lambda wc: STUDY.syn(wc.method, wc.variant),
        work=f"{WORK}/syn.{RUN.replace(os.sep, '.')}",
        code=lambda wc: code("syn", *compared(wc)),
    script:
        script_path("syn")
