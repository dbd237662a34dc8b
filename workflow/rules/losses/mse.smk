use rule optimise as optimise_mse with:
    wildcard_constraints:
        loss="mse",


use rule train as train_mse with:
    wildcard_constraints:
        loss="mse",
