use rule train as train_nmi with:
    wildcard_constraints:
        loss="nmi",
