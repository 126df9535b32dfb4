"""Controllers of the same experts, held against each other: training seeds, ablations, experts that came later."""
