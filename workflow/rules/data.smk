rule simulate:
    output:
        folder=directory(f"{RESULTS}/raw/{{dataset}}"),
    log:
        f"{RESULTS}/logs/simulate/{{dataset}}.log",
    conda:
        env_path("data")
    resources:
        mem_mb=growing(3000),
        runtime=60,
        gpu=None,
    params:
        recipe=recipe,
        options=lambda wc: STUDY.config["datasets"][wc.dataset]["options"],
        seed=lambda wc: STUDY.config["datasets"][wc.dataset]["seed"],
        code=lambda wc: code("simulate", recipes.module(recipe(wc))),
    script:
        script_path("simulate")


rule prepare:
    input:
        user_tables,
    output:
        dataset=directory(f"{RESULTS}/data/{{dataset}}"),
    log:
        f"{RESULTS}/logs/prepare/{{dataset}}.log",
    conda:
        env_path("data")
    resources:
        mem_mb=growing(3000),
        runtime=60,
        gpu=None,
    params:
        folder=raw_folder,
        seed=lambda wc: STUDY.config["datasets"][wc.dataset]["seed"],
        most=lambda wc: STUDY.config["datasets"][wc.dataset]["pairs"],
        presmoothing=lambda wc: STUDY.config["datasets"][wc.dataset]["presmoothing"],
        degrade=lambda wc: STUDY.config["datasets"][wc.dataset]["degrade"],
        images=image_states,
        defaults=layout.DEFAULTS,
        code=code("prepare"),
    script:
        script_path("prepare")


rule data_sheet:
    input:
        dataset=rules.prepare.output.dataset,
        scores=f"{RESULTS}/{Run('{dataset}', UNREGISTERED).path(results.SCORES)}",
    output:
        sheet=f"{RESULTS}/datasets/{{dataset}}.md",
        numbers=f"{RESULTS}/datasets/{{dataset}}.json",
        picture=report(
            f"{RESULTS}/datasets/{{dataset}}.png",
            caption=caption("data_sheet"),
            category="Datasets",
            labels={"dataset": "{dataset}"},
        ),
    log:
        f"{RESULTS}/logs/data_sheet/{{dataset}}.log",
    conda:
        env_path("score")
    resources:
        mem_mb=growing(3000),
        runtime=30,
        gpu=None,
    params:
        metrics=scored("order", "title", "needs", "rank", "primary"),
        code=code("data_sheet"),
    script:
        script_path("data_sheet")
