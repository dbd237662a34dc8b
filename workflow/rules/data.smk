rule simulate:
    output:
        folder=directory(f"{RESULTS}/raw/{{dataset}}"),
    params:
        recipe=recipe,
        options=lambda wc: STUDY.config["datasets"][wc.dataset]["options"],
        seed=lambda wc: STUDY.config["datasets"][wc.dataset]["seed"],
        code=lambda wc: code("simulate", recipes.RECIPES[recipe(wc)]),
    resources:
        mem_mb=3000,
    conda:
        env_path("data")
    script:
        script_path("simulate")


rule prepare:
    input:
        user_tables,
    output:
        dataset=directory(f"{RESULTS}/data/{{dataset}}"),
    params:
        folder=raw_folder,
        seed=lambda wc: STUDY.config["datasets"][wc.dataset]["seed"],
        images=image_states,
        code=code("prepare"),
    resources:
        mem_mb=3000,
    conda:
        env_path("data")
    script:
        script_path("prepare")


rule data_sheet:
    input:
        dataset=rules.prepare.output.dataset,
        scores=f"{RESULTS}/scores/{{dataset}}/unregistered.parquet",
    output:
        sheet=f"{RESULTS}/datasets/{{dataset}}.md",
        numbers=f"{RESULTS}/datasets/{{dataset}}.json",
        picture=report(
            f"{RESULTS}/datasets/{{dataset}}.png",
            caption=caption("data_sheet"),
            category="Datasets",
            labels={"dataset": "{dataset}"},
        ),
    params:
        code=code("data_sheet"),
    resources:
        mem_mb=3000,
    conda:
        env_path("score")
    script:
        script_path("data_sheet")
