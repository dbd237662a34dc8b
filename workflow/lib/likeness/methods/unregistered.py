"""No registration: the baseline in every table and figure.

It produces no fields; the rule ``score_unregistered`` scores a zero displacement.
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
