use rule optimise as optimise_pseudo_dice with:
    wildcard_constraints:
        loss="pseudo_dice",


use rule train as train_pseudo_dice with:
    wildcard_constraints:
        loss="pseudo_dice",
