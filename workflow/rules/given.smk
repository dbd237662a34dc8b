# Converts fields computed elsewhere to the common format; later steps treat them like all others.
rule given:
    input:
        dataset=rules.prepare.output.dataset,
    output:
        fields=maybe_temp(directory(given_fields(f"{RESULTS}/{results.FIELDS}"))),
        runtime=given_fields(f"{RESULTS}/{results.record('given', RUN)}"),
    log:
        f"{RESULTS}/{results.log('given', RUN)}",
    conda:
        env_path("itk")
    resources:
        mem_mb=growing(4000),
        runtime=240,
        gpu=None,
    params:
        folder=lambda wc: str(STUDY.given(wc.dataset, wc.method)),
        convention=lambda wc: STUDY.config["methods"][wc.method]["convention"],
        states=given_states,
        code=code("given"),
    script:
        script_path("given")
