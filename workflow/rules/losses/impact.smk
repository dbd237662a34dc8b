use rule train as train_impact with:
    wildcard_constraints:
        loss="impact",
