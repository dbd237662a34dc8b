rule register:
    input:
        dataset=rules.prepare.output.dataset,
        models=f"{RESULTS}/models/{RUN}",
    output:
        fields=maybe_temp(directory(f"{RESULTS}/fields/{RUN}")),
        sample=f"{RESULTS}/samples/{RUN}.npz",
        runtime=f"{RESULTS}/runtimes/register/{RUN}.json",
    log:
        f"{RESULTS}/logs/register/{RUN}.log",
    conda:
        env_path("train")
    threads: STUDY.config["threads"]
    resources:
        mem_mb=growing(4000),
        runtime=240,
    params:
        threads=STUDY.config["threads"],
        code=lambda wc: code("register", f"likeness.networks.{wc.network}"),
    script:
        script_path("register")
