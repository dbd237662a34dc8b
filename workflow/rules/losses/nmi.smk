use rule optimise as optimise_nmi with:
    wildcard_constraints:
        loss="nmi",


use rule train as train_nmi with:
    wildcard_constraints:
        loss="nmi",
