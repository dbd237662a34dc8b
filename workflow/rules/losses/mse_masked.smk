use rule train as train_mse_masked with:
    wildcard_constraints:
        loss="mse_masked",
