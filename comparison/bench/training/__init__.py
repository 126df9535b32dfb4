"""How long it takes to train the experts: all together, one after another, and one after another by TRL."""
