use rule optimise as optimise_nmi_masked with:
    wildcard_constraints:
        loss="nmi_masked",


use rule train as train_nmi_masked with:
    wildcard_constraints:
        loss="nmi_masked",
