use rule optimise as optimise_ssim with:
    wildcard_constraints:
        loss="ssim",


use rule train as train_ssim with:
    wildcard_constraints:
        loss="ssim",
