use rule train as train_ngf with:
    wildcard_constraints:
        loss="ngf",
