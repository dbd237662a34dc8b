use rule optimise as optimise_filters with:
    wildcard_constraints:
        loss="filters",


use rule train as train_filters with:
    wildcard_constraints:
        loss="filters",
