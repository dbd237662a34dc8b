use rule train as train_diffusion_adm with:
    wildcard_constraints:
        loss="diffusion_adm",
