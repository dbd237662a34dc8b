use rule optimise as optimise_anatomix with:
    wildcard_constraints:
        loss="anatomix",


use rule train as train_anatomix with:
    wildcard_constraints:
        loss="anatomix",
