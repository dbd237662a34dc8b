"""No registration: the pairs as they are, below everything else in every table and figure.

It makes no fields; the rule ``score_unregistered`` scores a displacement of zero.
"""

CARD = {
    "title": "unregistered",
    "order": 900,
    "colour": "#6b6b6b",
    "marker": ".",
    "uses_loss": False,
    "has_lam": False,
    "seeded": False,
    "trained": False,
    "optimised": False,
    "settings": {},
}
