use rule optimise as optimise_ngf with:
    wildcard_constraints:
        loss="ngf",


use rule train as train_ngf with:
    wildcard_constraints:
        loss="ngf",
