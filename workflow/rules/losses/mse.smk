use rule train as train_mse with:
    wildcard_constraints:
        loss="mse",
