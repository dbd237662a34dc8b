use rule optimise as optimise_diffusion_adm with:
    wildcard_constraints:
        loss="diffusion_adm",


use rule train as train_diffusion_adm with:
    wildcard_constraints:
        loss="diffusion_adm",
