use rule optimise as optimise_diffusion_indomain with:
    wildcard_constraints:
        loss="diffusion_indomain",


use rule train as train_diffusion_indomain with:
    wildcard_constraints:
        loss="diffusion_indomain",
