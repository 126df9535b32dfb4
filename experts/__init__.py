"""What could come next: dimensions, reward models, PPO, the stacked expert bank and soups."""
