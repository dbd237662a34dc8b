use rule optimise as optimise_dice_sup with:
    wildcard_constraints:
        loss="dice_sup",


use rule train as train_dice_sup with:
    wildcard_constraints:
        loss="dice_sup",
