# The fields stay on disk, so that a changed metric does not repeat the search.
rule classical:
    input:
        dataset=rules.prepare.output.dataset,
        extractor=features,
        description=lambda wc: features(wc, "json"),
    output:
        fields=directory(by_classical(f"{RESULTS}/{results.FIELDS}")),
        runtime=by_classical(f"{RESULTS}/{results.record('classical', RUN)}"),
    log:
        f"{RESULTS}/{results.log('classical', RUN)}",
    conda:
        env_path("itk")
    resources:
        mem_mb=growing(4000),
        runtime=1440,
        gpu=None,
    params:
        recipe=lambda wc: STUDY.classical_recipe(wc.method, wc.variant),
        work=f"{WORK}/classical.{RUN.replace(os.sep, '.')}",
        code=lambda wc: code("classical", f"likeness.methods.{STUDY.methods[wc.method].kind}", *compared(wc)),
    script:
        script_path("classical")
