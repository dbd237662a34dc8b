use rule train as train_anatomix with:
    wildcard_constraints:
        loss="anatomix",
