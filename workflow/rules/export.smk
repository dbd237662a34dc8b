# Exports the fields of any method in a convention of other programs.
rule export:
    input:
        dataset=rules.prepare.output.dataset,
        fields=f"{RESULTS}/{results.FIELDS}",
        search=f"{RESULTS}/{results.SEARCH}",
    output:
        folder=directory(f"{RESULTS}/{results.EXPORT}"),
    log:
        f"{RESULTS}/logs/{results.EXPORT}.log",
    wildcard_constraints:
        convention=named(STUDY.exports),
    conda:
        env_path("itk")
    resources:
        mem_mb=growing(4000),
        runtime=240,
        gpu=None,
    params:
        code=code("export"),
    script:
        script_path("export")
