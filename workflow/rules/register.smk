rule register:
    input:
        dataset=rules.prepare.output.dataset,
        models=f"{RESULTS}/{results.MODELS}",
    output:
        fields=maybe_temp(directory(trained(f"{RESULTS}/{results.FIELDS}"))),
        runtime=trained(f"{RESULTS}/{results.record('register', RUN)}"),
    log:
        f"{RESULTS}/{results.log('register', RUN)}",
    conda:
        env_path("train")
    threads: STUDY.config["threads"]
    resources:
        mem_mb=growing(4000),
        runtime=240,
    params:
        threads=STUDY.config["threads"],
        code=lambda wc: code("register", f"likeness.networks.{STUDY.methods[wc.method].kind}"),
    script:
        script_path("register")
