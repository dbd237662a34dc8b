use rule optimise as optimise_mse_masked with:
    wildcard_constraints:
        loss="mse_masked",


use rule train as train_mse_masked with:
    wildcard_constraints:
        loss="mse_masked",
