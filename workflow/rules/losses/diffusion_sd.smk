use rule optimise as optimise_diffusion_sd with:
    wildcard_constraints:
        loss="diffusion_sd",


use rule train as train_diffusion_sd with:
    wildcard_constraints:
        loss="diffusion_sd",
