"""How one token is chosen: mixing rules, sampling and the loop. Knows tensors only, imports nothing of ours."""
