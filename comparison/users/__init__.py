"""How well users are known after a few choices: simulated users, ways to learn their tastes, and the truth."""
